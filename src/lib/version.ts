/** The release, as `package.json` names it: the bundle holds no package file. */
export const VERSION = "0.1.0";
