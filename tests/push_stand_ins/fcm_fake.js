// A stand-in for Google's push service and its token endpoint on node's http, which shares no code with the relay. It checks
// the OAuth assertion (signature, audience, times), the access token, and each field of the message.
// Standard input takes a JSON object a line, standard output answers {"done": true}:
//   {"answers": {"<registration token>": ["busy", "ok"]}}   one after the other, the last one for ever; "login" for the token endpoint
//   {"now": 1800000000}                                     seconds, instead of this machine's clock
// There, too, stands what came: {"login": {...}} and {"push": {...}}.
"use strict";
const crypto = require("node:crypto");
const http = require("node:http");
const readline = require("node:readline");

const settings = JSON.parse(process.argv[2]); // publicKey, keyId, email, project, redirect
const publicKey = crypto.createPublicKey(settings.publicKey);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const answers = new Map();
const issued = new Map(); // access token → the second when it ends
let now = null;
let url = "";
const seconds = () => (now === null ? Math.floor(Date.now() / 1000) : now);

function json(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json; charset=UTF-8", ...headers });
  response.end(JSON.stringify(body));
}

// As Google tells failures; `code` is FCM's own word.
function fail(response, status, name, code, headers) {
  const details = code ? [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", errorCode: code }] : [];
  json(response, status, { error: { code: status, message: "…", status: name, details } }, headers);
}

const violation = (response, field) => json(response, 400, {
  error: { code: 400, message: "Invalid value at '" + field + "'", status: "INVALID_ARGUMENT",
    details: [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [{ field, description: "…" }] }] },
});

function assertionFault(assertion) {
  const [head, body, signature, ...rest] = assertion.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url"));
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  if (rest.length || header.alg !== "RS256" || header.kid !== settings.keyId) return "header";
  if (!crypto.verify("sha256", Buffer.from(head + "." + body), publicKey, Buffer.from(signature, "base64url"))) return "signature";
  if (claims.iss !== settings.email) return "iss";
  if (claims.aud !== url + "/token") return "aud";
  if (claims.scope !== "https://www.googleapis.com/auth/firebase.messaging") return "scope";
  if (Math.abs(claims.iat - seconds()) > 300 || claims.exp <= seconds() || claims.exp - claims.iat > 3600) return "times";
  return null;
}

function common(response, what) {
  switch (what) {
    case "redirect":
      response.writeHead(307, { location: settings.redirect }).end();
      return;
    case "silent":
      return;
    case "hang_up":
      response.socket.destroy();
      return;
    case "nonsense":
      response.writeHead(400, { "content-type": "application/json" }).end("[".repeat(10000));
      return;
    case "endless": {
      response.writeHead(500);
      const more = () => { while (!response.destroyed && response.write(Buffer.alloc(65536))); };
      response.on("drain", more);
      more();
      return;
    }
    case "failing":
      fail(response, 500, "INTERNAL", "INTERNAL");
      return;
    case "closed":
      fail(response, 503, "UNAVAILABLE", "UNAVAILABLE", { "retry-after": "7" });
      return;
    case "not_found": // no such project, or another server altogether
      response.writeHead(404, { "content-type": "text/html" }).end("<h1>Not Found</h1>");
      return;
    default:
      throw new Error("no answer " + what);
  }
}

function login(response, text) {
  const form = new URLSearchParams(text);
  let fault;
  try {
    fault = form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer" ? assertionFault(form.get("assertion")) : "grant_type";
  } catch {
    fault = "assertion";
  }
  const what = fault ? "refused" : next("login");
  say({ login: { fault, what } });
  if (fault) json(response, 400, { error: "invalid_grant", error_description: fault });
  else if (what === "ok" || what === "short") {
    const token = "ya29." + crypto.randomBytes(40).toString("base64url");
    const lasts = what === "short" ? 310 : 3599;
    issued.set(token, seconds() + lasts);
    json(response, 200, { access_token: token, expires_in: lasts, token_type: "Bearer" });
  } else if (what === "odd") json(response, 200, { access_token: "a\r\nb", expires_in: 3599 });
  else if (what === "without") json(response, 200, { id_token: "x" });
  else common(response, what);
}

function next(name) {
  const left = answers.get(name) || ["ok"];
  return left.length > 1 ? left.shift() : left[0];
}

// The first field of the message that Google would not take; null if there is none.
function wrongField(request) {
  const { message, validate_only: only, ...more } = request;
  if (Object.keys(more).length) return Object.keys(more)[0];
  if (only !== undefined && only !== true) return "validate_only";
  const allowed = { token: 1, data: 1, android: 1 };
  for (const name of Object.keys(message)) if (!allowed[name]) return "message." + name;
  for (const [name, value] of Object.entries(message.data)) if (typeof value !== "string") return "message.data." + name;
  const { priority, ttl, collapse_key: key, ...other } = message.android;
  if (Object.keys(other).length) return "message.android." + Object.keys(other)[0];
  if (!["high", "normal"].includes(priority)) return "message.android.priority";
  if (!/^[0-9]+s$/.test(ttl) || parseInt(ttl) > 2419200) return "message.android.ttl";
  if (typeof key !== "string") return "message.android.collapse_key";
  return null;
}

function send(request, response, text) {
  const [scheme, token] = (request.headers.authorization || "").split(" ");
  const ends = issued.get(token);
  const good = scheme === "Bearer" && ends !== undefined && ends > seconds();
  let wrong = null;
  let parsed = null;
  try {
    parsed = JSON.parse(text);
    wrong = wrongField(parsed);
  } catch {
    wrong = "json";
  }
  const device = parsed && parsed.message && parsed.message.token;
  const what = !good ? "unauthenticated" : wrong ? "wrong " + wrong : device === "nobody" ? "bad_token" : next(device);
  say({ push: { device, what, wrong, body: text, headers: request.headers } });
  if (what === "unauthenticated") fail(response, 401, "UNAUTHENTICATED", "");
  else if (wrong) violation(response, wrong);
  else if (what === "ok") json(response, 200, { name: "projects/" + settings.project + "/messages/" + crypto.randomUUID() });
  else if (what === "unregistered") fail(response, 404, "NOT_FOUND", "UNREGISTERED");
  else if (what === "bad_token") fail(response, 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  else if (what === "mismatch") fail(response, 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH");
  else if (what === "denied") fail(response, 403, "PERMISSION_DENIED", "");
  else if (what === "busy") fail(response, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", { "retry-after": "7" });
  else if (what === "revoked") { issued.delete(token); fail(response, 401, "UNAUTHENTICATED", ""); }
  else if (what === "bad_ttl") violation(response, "message.android.ttl");
  else if (what === "gone") fail(response, 410, "NOT_FOUND", "");
  else common(response, what);
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (data) => parts.push(data));
  request.on("error", () => {});
  response.on("error", () => {});
  request.on("end", () => {
    const text = Buffer.concat(parts).toString();
    const where = request.method + " " + request.url;
    if (where === "POST /token") login(response, text);
    else if (where === "POST /v1/projects/" + settings.project + "/messages:send") send(request, response, text);
    else fail(response, 404, "NOT_FOUND", "");
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  url = "http://127.0.0.1:" + port;
  say({ port });
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const told = JSON.parse(line);
  for (const [device, list] of Object.entries(told.answers || {})) answers.set(device, [...list]);
  if ("now" in told) now = told.now;
  if (told.disconnect) server.closeIdleConnections();
  say({ done: true });
}).on("close", () => process.exit(0)); // whoever started it is gone
