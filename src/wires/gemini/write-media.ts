/**
 * Pictures, sound, video and files, as Gemini takes them: in the request, or fetched by Google from a public address.
 *
 * An address is fetched as what the client calls it: one whose ending names another medium is refused, since a film
 * behind `image_url` costs a thousand times what a picture does.
 * https://ai.google.dev/gemini-api/docs/file-input-methods
 */
import { changesMeaning, type Loss } from "../../conversation/loss.ts";
import type { AudioPart, FilePart, ImagePart, Json, Media, VideoPart } from "../../conversation/part.ts";

import { pictureType } from "../picture-type.ts";

export type MediaPart = ImagePart | AudioPart | VideoPart | FilePart;

/** By the ending of an address. Where there is none of these, Google looks at what it fetched. */
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  webp: "image/webp",
  heic: "image/heic",
  heif: "image/heif",
  gif: "image/gif",
  pdf: "application/pdf",
  txt: "text/plain",
  csv: "text/csv",
  html: "text/html",
  md: "text/markdown",
  json: "application/json",
  mp4: "video/mp4",
  mpeg: "video/mpeg",
  mpg: "video/mpeg",
  webm: "video/webm",
  mov: "video/quicktime",
  avi: "video/x-msvideo",
  wmv: "video/x-ms-wmv",
  flv: "video/x-flv",
  "3gp": "video/3gpp",
  mp3: "audio/mp3",
  wav: "audio/wav",
  aac: "audio/aac",
  ogg: "audio/ogg",
  flac: "audio/flac",
  aiff: "audio/aiff",
  m4a: "audio/m4a",
};

type Medium = MediaPart["kind"];

function mediumOf(mediaType: string): Medium {
  const family = mediaType.slice(0, mediaType.indexOf("/")).toLowerCase();
  return family === "image" || family === "audio" || family === "video" ? family : "file";
}

const MEDIA_TYPE = /^[a-z0-9][\w.+-]{0,60}\/[\w.+-]{1,80}$/i;

/** One part of Gemini's, or why there is none. */
export function writeMedia(part: MediaPart): Json | Loss {
  const { media } = part;
  switch (media.kind) {
    case "base64": {
      const declared = media.mediaType.toLowerCase();
      const mediaType = declared.startsWith("image/") ? pictureType(media.data, declared) : declared;
      if (!MEDIA_TYPE.test(mediaType) || mediaType.endsWith("/undefined")) {
        return refused(part, "does not say of what kind it is");
      }
      if (!isAs(part.kind, mediaType)) return refused(part, `is ${mediaType}`);
      return { inlineData: { mimeType: mediaType, data: media.data } };
    }
    case "url":
      return fetched(part, media);
    case "id":
      return refused(part, "is known to another provider only");
    case "text":
      return { text: media.text };
  }
}

/** A file may be anything that is no sound and no film: those have parts of their own. */
function isAs(kind: Medium, mediaType: string): boolean {
  const medium = mediumOf(mediaType);
  return kind === medium || (kind === "file" && medium === "image");
}

/** Google plays what these addresses show. */
const FILM_HOSTS = /(?:^|\.)(?:youtube\.com|youtube-nocookie\.com|youtu\.be)\.?$/;
/** Files that were uploaded with the operator's credential: none is the client's to name. */
const UPLOADS_HOST = /(?:^|\.)generativelanguage\.googleapis\.com\.?$/;

function fetched(part: MediaPart, { url, mediaType }: Extract<Media, { kind: "url" }>): Json | Loss {
  const address = URL.canParse(url) ? new URL(url) : null;
  if (address === null || !/^https?:$/.test(address.protocol)) return refused(part, "has no public http(s) address");
  if (UPLOADS_HOST.test(address.hostname)) return refused(part, "lies in the provider's own storage");
  if (FILM_HOSTS.test(address.hostname)) {
    return part.kind === "video" ? { fileData: { fileUri: url } } : refused(part, "is the address of a film");
  }
  const ending = /\.([a-z0-9]{2,4})$/i.exec(address.pathname.slice(-16))?.[1]?.toLowerCase() ?? "";
  const mimeType = Object.hasOwn(MEDIA_TYPES, ending) ? MEDIA_TYPES[ending] : mediaType;
  if (mimeType === undefined) return { fileData: { fileUri: url } };
  return isAs(part.kind, mimeType) ? { fileData: { mimeType, fileUri: url } } : refused(part, `is ${mimeType}`);
}

const NAMES: Readonly<Record<Medium, string>> = { image: "image", audio: "sound", video: "video", file: "file" };

function refused({ kind, path }: MediaPart, why: string): Loss {
  return changesMeaning(path, "part", `Gemini cannot take the ${NAMES[kind]} in \`${path}\`: it ${why}.`);
}
