/** The API key in the headers of Anthropic's clients: `x-api-key` or a bearer token. */
import { invalidKey, RouterError } from "../../http/errors.ts";
import { bearerToken } from "../../relay/authenticate.ts";

const OURS = /^fl_[!-~]{1,512}$/;
const BEARER = /^bearer +([!-~]{1,512})$/i;

/**
 * The key. Of two credentials the one that begins with `fl_` counts, and a foreign one next to it is ignored: clients
 * send their own key for the provider as well. Throws 401 where there is none, or two of ours that differ.
 */
export function apiKey(request: Pick<Request, "headers" | "url">): string {
  const { headers } = request;
  const named = (headers.get("x-api-key") ?? "").trim();
  const bearer = BEARER.exec(headers.get("authorization") ?? "")?.[1] ?? "";
  const own = [named, bearer].filter((each) => OURS.test(each));
  const [first, second] = own;
  if (first !== undefined && second !== undefined && first !== second) throw invalidKey();
  if (first !== undefined) return first;
  if (named === "" && bearer === "" && headers.get("authorization") === null) {
    const message = "No API key was sent. Send it as `x-api-key` or as `Authorization: Bearer <key>`.";
    throw new RouterError("missing_api_key", message);
  }
  return named === "" ? bearerToken(request) : named;
}
