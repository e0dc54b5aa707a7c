// Sockets in the file system: net and http servers with keep-alive, uploads, many clients, cluster workers, half-closing.
"use strict";
const http = require("http");
const net = require("net");
const fs = require("fs");
const cluster = require("cluster");
const { once } = require("events");

const say = (...words) => console.log(...words);
function request(options, body) {
  return new Promise((done, failed) => {
    const req = http.request({ ...options }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("end", () => done([res.statusCode, res.headers["x-kind"], text]));
    });
    req.on("error", failed);
    req.end(body);
  });
}

(async () => {
  const socket = "./http.sock";
  const server = http.createServer(async (req, res) => {
    let size = 0;
    for await (const chunk of req) size += chunk.length;
    res.setHeader("x-kind", req.method);
    if (req.url === "/chunks") { for (let i = 0; i < 5; i++) res.write(`chunk ${i};`); res.end(); }
    else if (req.url === "/large") res.end("y".repeat(2_000_000));
    else if (req.url === "/broken") req.socket.destroy();
    else res.end(`${req.url} ${size}`);
  });
  server.listen(socket);
  await once(server, "listening");
  say("socket", fs.statSync(socket).isSocket(), server.address());
  say(await request({ socketPath: socket, path: "/a" }));
  say(await request({ socketPath: socket, path: "/up", method: "POST" }, Buffer.alloc(1_500_000)));
  say(await request({ socketPath: socket, path: "/chunks" }));
  say((await request({ socketPath: socket, path: "/large" }))[2].length);
  await request({ socketPath: socket, path: "/broken" }).catch((e) => say(e.code));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const all = await Promise.all([...Array(100).keys()].map((i) => request({ socketPath: socket, path: `/${i}`, agent })));
  say("hundred", all.filter(([status], i) => status === 200 && all[i][2] === `/${i} 0`).length, agent.totalSocketCount);
  agent.destroy();
  server.close();
  await once(server, "close");
  say("gone", fs.existsSync(socket));
  await request({ socketPath: socket, agent: false }).catch((e) => say(e.code, e.syscall));

  // Bare sockets: half-closing, an abstract echo of much data, refusal.
  const echo = net.createServer({ allowHalfOpen: true }, (s) => { let n = 0; s.on("data", (d) => (n += d.length)); s.on("end", () => s.end(`had ${n}`)); });
  echo.listen("echo.sock");
  await once(echo, "listening");
  const answers = await Promise.all([...Array(10).keys()].map(async (i) => {
    const client = net.connect("echo.sock");
    client.end(Buffer.alloc(i * 100_000));
    let text = "";
    for await (const chunk of client) text += chunk;
    return text;
  }));
  say(answers);
  const twice = net.createServer().on("error", (e) => say(e.code));
  twice.listen("echo.sock");
  await once(twice, "error").catch(() => 0);
  echo.close();

  // cluster: two workers share a listening socket, handed to them over the IPC channel.
  fs.writeFileSync("worker.js", `
    require("http").createServer((req, res) => res.end("by a worker")).listen("shared.sock", () => process.send("up"));
    process.on("SIGTERM", () => process.exit(6));`);
  cluster.setupPrimary({ exec: "./worker.js", execArgv: [] });
  const workers = [cluster.fork(), cluster.fork()];
  await Promise.all(workers.map((w) => once(w, "message")));
  const replies = await Promise.all([...Array(20)].map(() => request({ socketPath: "shared.sock" })));
  say("cluster", replies.filter((r) => r[2] === "by a worker").length);
  const ends = Promise.all(workers.map((w) => once(w, "exit")));
  for (const worker of workers) worker.process.kill("SIGTERM");
  say(await ends);
})();
