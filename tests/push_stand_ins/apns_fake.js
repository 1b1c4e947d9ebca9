// A stand-in for Apple's push service on node's http2, which shares no code with the relay. It checks what Apple checks:
// the token's signature and age, the pseudo-headers, topic, type, priority, expiration, collapse id and payload.
// What else it does with a device is told on standard input, a JSON object a line:
//   {"answers": {"<device token>": ["busy", "ok"]}}   one after the other, the last one for ever
//   {"now": 1800000000}                               seconds, instead of this machine's clock
// and answered on standard output by {"done": true}; there, too, stands each push, as {"push": {...}}.
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const http2 = require("node:http2");
const readline = require("node:readline");

const settings = JSON.parse(process.argv[2]); // certificate, key, publicKey, keyId, teamId, topic, redirect
const publicKey = crypto.createPublicKey(settings.publicKey);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const answers = new Map();
let now = null;
let lastToken = null;
const seconds = () => (now === null ? Math.floor(Date.now() / 1000) : now);

const part = (text) => {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error("not base64url");
  return Buffer.from(text, "base64url");
};

// What is wrong with the provider token, as [status, reason]; null if nothing is.
function tokenFault(authorization) {
  if (!authorization) return [403, "MissingProviderToken"];
  const [scheme, token, ...more] = authorization.split(" ");
  if (scheme !== "bearer" || more.length) return [403, "InvalidProviderToken"];
  let claims;
  try {
    const [head, body, signature, ...rest] = token.split(".");
    const header = JSON.parse(part(head));
    claims = JSON.parse(part(body));
    const good =
      rest.length === 0 && header.alg === "ES256" && header.kid === settings.keyId && claims.iss === settings.teamId &&
      Number.isInteger(claims.iat) && part(signature).length === 64 &&
      crypto.verify("sha256", Buffer.from(head + "." + body), { key: publicKey, dsaEncoding: "ieee-p1363" }, part(signature));
    if (!good) return [403, "InvalidProviderToken"];
  } catch {
    return [403, "InvalidProviderToken"];
  }
  if (Math.abs(seconds() - claims.iat) > 3600) return [403, "ExpiredProviderToken"];
  if (lastToken !== null && lastToken.token !== token && claims.iat - lastToken.iat < 1200)
    return [429, "TooManyProviderTokenUpdates"];
  lastToken = { token, iat: claims.iat };
  return null;
}

// What is wrong with the request's form; these are faults of the relay, whatever the device.
function formFaults(headers, body) {
  const faults = [];
  const pseudo = Object.keys(headers).filter((name) => name.startsWith(":")).sort().join(" ");
  if (pseudo !== ":authority :method :path :scheme") faults.push("pseudo-headers " + pseudo);
  if (headers[":method"] !== "POST") faults.push("method");
  if (headers[":scheme"] !== "https") faults.push("scheme");
  if (headers[":authority"] !== settings.authority) faults.push("authority " + headers[":authority"]);
  if (!/^\/3\/device\/[0-9a-fA-F]+$/.test(headers[":path"])) faults.push("path");
  for (const name of ["host", "connection", "transfer-encoding", "cookie"]) if (name in headers) faults.push(name);
  if (!["alert", "background"].includes(headers["apns-push-type"])) faults.push("push type");
  if (!["5", "10"].includes(headers["apns-priority"])) faults.push("priority");
  if (headers["apns-push-type"] === "background" && headers["apns-priority"] !== "5") faults.push("priority of background");
  if (!/^[0-9]+$/.test(headers["apns-expiration"] || "")) faults.push("expiration");
  if (Buffer.byteLength(headers["apns-collapse-id"] || "") > 64) faults.push("collapse id");
  if (body.length > 4096) faults.push("payload too large");
  try {
    const payload = JSON.parse(body);
    if (typeof payload.aps !== "object") faults.push("payload without aps");
    if (headers["apns-push-type"] === "background" && payload.aps["content-available"] !== 1) faults.push("content-available");
    if (headers["apns-push-type"] === "alert" && !payload.aps.alert) faults.push("alert");
  } catch {
    faults.push("payload");
  }
  return faults;
}

const REASONS = {
  unregistered: [410, "Unregistered"], bad_token: [400, "BadDeviceToken"], busy: [429, "TooManyRequests"],
  failing: [500, "InternalServerError"], closed: [503, "Shutdown"], expired: [403, "ExpiredProviderToken"],
  wrong_key: [403, "InvalidProviderToken"], other_topic: [400, "TopicDisallowed"], bad_path: [404, "BadPath"],
};

function refuse(stream, status, reason, headers = {}) {
  stream.respond({ ":status": status, "content-type": "application/json", ...headers });
  stream.end(JSON.stringify(status === 410 ? { reason, timestamp: 1700000000000 } : { reason }));
}

function act(stream, what) {
  switch (what) {
    case "ok":
      stream.respond({ ":status": 200, "apns-id": crypto.randomUUID() }, { endStream: true });
      return;
    case "redirect":
      stream.respond({ ":status": 307, location: settings.redirect }, { endStream: true });
      return;
    case "silent":
      return;
    case "reset":
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      return;
    case "hang_up":
      stream.session.destroy();
      return;
    case "ok_then_go_away": // as Apple does with a connection that it wants to have no more
      stream.respond({ ":status": 200 }, { endStream: true });
      stream.on("close", () => stream.session && stream.session.close());
      return;
    case "endless": {
      stream.respond({ ":status": 500 });
      const more = () => { while (!stream.destroyed && stream.write(Buffer.alloc(65536))); };
      stream.on("drain", more);
      stream.on("error", () => {});
      more();
      return;
    }
    case "nonsense":
      stream.respond({ ":status": 400, "content-type": "application/json" });
      stream.end("[".repeat(10000));
      return;
    default: {
      const [status, reason] = REASONS[what];
      refuse(stream, status, reason, status === 429 || status === 503 ? { "retry-after": "7" } : {});
    }
  }
}

const server = http2.createSecureServer({
  cert: fs.readFileSync(settings.certificate), key: fs.readFileSync(settings.key), allowHTTP1: false,
  settings: { maxConcurrentStreams: 1000 }, // as Apple says
});
let connections = 0;
server.on("session", (session) => {
  connections += 1;
  session.on("error", () => {});
});
server.on("sessionError", () => {});
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  const parts = [];
  stream.on("data", (data) => parts.push(data));
  stream.on("end", () => {
    const body = Buffer.concat(parts);
    const device = headers[":path"].split("/").pop();
    const faults = formFaults(headers, body);
    const refused = faults.length ? [400, "BadRequest"]
      : tokenFault(headers.authorization) || (headers["apns-topic"] === settings.topic ? null : [400, "DeviceTokenNotForTopic"]) ||
        (/^0+$/.test(device) ? [400, "BadDeviceToken"] : null);
    const left = answers.get(device) || ["ok"];
    const what = refused ? "refused" : left.length > 1 ? left.shift() : left[0];
    say({ push: { device, faults, what, refused, body: body.toString(), connection: connections, headers } });
    if (refused) refuse(stream, ...refused);
    else act(stream, what);
  });
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  settings.authority = "127.0.0.1:" + port;
  say({ port });
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const told = JSON.parse(line);
  for (const [device, list] of Object.entries(told.answers || {})) answers.set(device, [...list]);
  if ("now" in told) now = told.now;
  say({ done: true });
}).on("close", () => process.exit(0)); // whoever started it is gone
