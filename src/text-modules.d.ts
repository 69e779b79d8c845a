/** Files that the bundle holds as text: see `[[rules]]` in wrangler.toml. */
declare module "*.txt" {
  const text: string;
  export default text;
}
