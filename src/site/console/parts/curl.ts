/** A call as a reader repeats it in a shell, where a variable holds the key. */
export function curlText(path: string, body: string): string {
  return [
    `curl ${location.origin}${path} \\`,
    `  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ].join("\n");
}
