// How the page speaks with the relay: one request a command, with the token that only pages of this origin can read.

const TOKEN = "tokenim-csrf";

/** A refusal: `code` is stable, `message` is for a person, `status` is 0 if the relay did not answer. */
export class Refused extends Error {
  constructor(code, detail, status) {
    super(detail);
    this.code = code;
    this.status = status;
  }

  /** Whether somebody has to log in (again). */
  get loggedOut() {
    return this.status === 401;
  }
}

async function send(method, path, body) {
  const headers = { "TokenIM-CSRF": localStorage.getItem(TOKEN) ?? "" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused("unreachable", "The relay does not answer.", 0);
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(told?.code ?? "internal", told?.detail ?? answer.statusText, answer.status);
  return told;
}

/** What a command of `tokenim-relay` answers; throws Refused. */
export const ask = (command, given = {}) => send("POST", `/admin/v1/${command}`, given);

/** Who is logged in; null if nobody is. */
export async function session() {
  if (localStorage.getItem(TOKEN) === null) return null;
  try {
    return await send("GET", "/admin/v1/session");
  } catch (error) {
    if (error.status === 401 || error.status === 403) return null;
    throw error;
  }
}

/** Spend the secret of a link. */
export async function logIn(secret) {
  const told = await send("POST", "/admin/v1/log-in", { secret });
  localStorage.setItem(TOKEN, told.csrf);
  return told;
}

export async function logOut() {
  await send("POST", "/admin/v1/log-out", {});
  localStorage.removeItem(TOKEN);
}
