// A stand-in for a push server of UnifiedPush on node's http, written from ntfy's documents (subscribe/api, publish) and the
// specification of UnifiedPush servers; it shares no code with relay or client, and opens nothing.
//   POST /TOPIC?up=1   to all who listen: base64 where the body is no UTF-8, as ntfy does
//   GET  /TOPIC/json   a stream: `open`, then `message` and `keepalive`, an object a line
// Standard input takes a JSON object a line, standard output answers {"done": true}:
//   {"away": true}        hang up on all who listen, and on whoever comes; false: be there again
//   {"answer": 429}       to each POST; 0: take it
//   {"say": "a line"}     on every stream, whatever it is
//   {"readers": "token"}  who may read; "": everybody
// There, too, stands what came: {"push": {topic, body, headers, listeners}}, {"listener": topic}.
"use strict";
const crypto = require("node:crypto");
const http = require("node:http");
const readline = require("node:readline");

const settings = { away: false, answer: 0, readers: "", ...JSON.parse(process.argv[2]) };
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const streams = new Map(); // topic → responses
const now = () => Math.floor(Date.now() / 1000);
const id = () => crypto.randomBytes(9).toString("base64url");

function decoded(bytes) {
  try {
    return { message: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { message: bytes.toString("base64"), encoding: "base64" };
  }
}

function publish(topic, request, response, body) {
  const listeners = streams.get(topic) || new Set();
  say({ push: { topic, body: body.toString("base64"), headers: request.headers, listeners: listeners.size } });
  if (settings.answer) {
    response.writeHead(settings.answer, { "retry-after": "1" }).end();
    return;
  }
  if (body.length > 4096) {
    response.writeHead(413).end();
    return;
  }
  const event = { id: id(), time: now(), expires: now() + 43200, event: "message", topic, ...decoded(body) };
  for (const one of listeners) one.write(JSON.stringify(event) + "\n");
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(event));
}

function listen(topic, request, response) {
  if (settings.readers && request.headers.authorization !== "Bearer " + settings.readers) {
    response.writeHead(403, { "content-type": "application/json" }).end('{"code":40301,"http":403,"error":"forbidden"}');
    return;
  }
  response.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8" });
  if (!streams.has(topic)) streams.set(topic, new Set());
  streams.get(topic).add(response);
  response.on("close", () => streams.get(topic).delete(response));
  response.write(JSON.stringify({ id: id(), time: now(), event: "open", topic }) + "\n");
  say({ listener: topic });
}

const server = http.createServer((request, response) => {
  if (settings.away) {
    request.socket.destroy();
    return;
  }
  const url = new URL(request.url, "http://ntfy");
  const [, topic, rest] = /^\/([-_A-Za-z0-9]{1,64})(\/json)?$/.exec(url.pathname) || [];
  const isPush = url.searchParams.get("up") === "1";
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    if (topic && request.method === "POST" && !rest && isPush) publish(topic, request, response, Buffer.concat(parts));
    else if (topic && request.method === "GET" && rest) listen(topic, request, response);
    else response.writeHead(404).end();
  });
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
setInterval(() => {
  for (const [topic, all] of streams)
    for (const one of all) one.write(JSON.stringify({ id: id(), time: now(), event: "keepalive", topic }) + "\n");
}, 500);
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { say: spoken, ...told } = JSON.parse(line);
  Object.assign(settings, told);
  for (const all of streams.values())
    for (const one of all) {
      if (spoken !== undefined) one.write(spoken + "\n");
      if (settings.away) one.destroy();
    }
  say({ done: true });
}).on("close", () => process.exit(0)); // whoever started it is gone
