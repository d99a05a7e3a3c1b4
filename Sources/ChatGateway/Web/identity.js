/** Who the page is for: a name where the server takes everybody, else a token. */

const PLACE = "roost:token";

/** @typedef {{ text: string, user: string, name: string }} Token */

/**
 * The token of this tab: from the address of a sign-in link, or from before. A fragment is sent to no server; from the
 * address, and so from the history, it goes at once.
 * @returns {Token | null}
 */
export function givenToken() {
  const given = /^#token=([^&]*)$/.exec(location.hash)?.[1];
  if (given !== undefined) {
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(given);
  }
  return readToken(recall());
}

/** What a token says, if it still holds: the server decides, this is for showing. @param {string | null} text @returns {Token | null} */
export function readToken(text) {
  try {
    const claims = JSON.parse(decode(text.split(".")[1]));
    if (typeof claims.sub !== "string" || claims.exp * 1000 < Date.now()) return null;
    return { text, user: claims.sub, name: typeof claims.name === "string" ? claims.name : claims.sub };
  } catch {
    return null;
  }
}

/** For this tab only. @param {string | null} text */
export function keepToken(text) {
  try {
    if (text === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, text);
  } catch {
    // Storage may be forbidden: then the token lasts as long as the page.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(PLACE);
  } catch {
    return null;
  }
}

/** Whether the server asks for tokens: it says so in the page. */
export function needsToken() {
  return document.querySelector("meta[name=roost-authentication]")?.getAttribute("content") === "token";
}

/** @param {string} part base64url */
function decode(part) {
  const binary = atob(part.replace(/-/g, "+").replace(/_/g, "/"));
  return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
}
