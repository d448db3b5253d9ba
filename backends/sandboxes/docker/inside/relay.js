// The container's end of the relay, where it has Node and no Python: see relay.py, whose frames and rules these are.
'use strict';
const net = require('net');
const READY = 1, OPEN = 2, DATA = 3, END = 4, RESET = 5, CREDIT = 6, FAILED = 7;
const WINDOW = 262144, PIECE = 32768, MOST = 512;

const streams = new Map();
let count = 0;
let full = false;

function say(kind, number, data) {
  const head = Buffer.alloc(7);
  head.writeUInt8(kind, 0);
  head.writeUInt32BE(number, 1);
  head.writeUInt16BE(data ? data.length : 0, 5);
  if (!process.stdout.write(data ? Buffer.concat([head, data]) : head) && !full) {
    full = true;
    process.stdout.once('drain', () => {
      full = false;
      for (const stream of [...streams.values()]) pump(stream);
    });
  }
}

function drop(stream, gently) {
  if (!streams.delete(stream.number)) return;
  if (gently) stream.socket.end();
  else if (stream.socket.resetAndDestroy) stream.socket.resetAndDestroy();
  else stream.socket.destroy();
}

function settle(stream) {
  if (stream.saidAll && stream.heardAll && !stream.waiting) drop(stream, true);
}

// Say what the connection said, as far as its credit goes.
function pump(stream) {
  while (streams.has(stream.number) && !full && stream.credit > 0 && stream.said.length) {
    let piece = stream.said[0];
    const size = Math.min(piece.length, PIECE, stream.credit);
    if (size < piece.length) {
      stream.said[0] = piece.subarray(size);
      piece = piece.subarray(0, size);
    } else stream.said.shift();
    stream.credit -= size;
    say(DATA, stream.number, piece);
  }
  if (stream.said.length) stream.socket.pause();
  else if (stream.ended && !stream.saidAll) {
    stream.saidAll = true;
    say(END, stream.number);
    settle(stream);
  } else if (!stream.ended) stream.socket.resume();
}

function accept(socket) {
  const stream = { number: ++count, socket, credit: WINDOW, said: [], waiting: 0,
    ended: false, saidAll: false, heardAll: false };
  streams.set(stream.number, stream);
  socket.setNoDelay(true);
  say(OPEN, stream.number);
  socket.on('data', (data) => { stream.said.push(data); pump(stream); });
  socket.on('end', () => { stream.ended = true; pump(stream); });
  const broke = () => {
    if (!streams.has(stream.number)) return;
    say(RESET, stream.number);
    drop(stream, false);
  };
  socket.on('error', broke);
  socket.on('close', () => { if (!(stream.ended && stream.heardAll)) broke(); });
}

function take(kind, number, data) {
  const stream = streams.get(number);
  if (!stream) return;
  if (kind === DATA) {
    stream.waiting += data.length;
    stream.socket.write(data, (error) => {
      stream.waiting -= data.length;
      if (error || !streams.has(number)) return;
      const credit = Buffer.alloc(4);
      credit.writeUInt32BE(data.length);
      say(CREDIT, number, credit);
      settle(stream);
    });
  } else if (kind === END) {
    stream.heardAll = true;
    stream.socket.end();
    settle(stream);
  } else if (kind === CREDIT) {
    stream.credit += data.readUInt32BE(0);
    pump(stream);
  } else if (kind === RESET) drop(stream, false);
}

let inbox = Buffer.alloc(0);
process.stdin.on('data', (data) => {
  inbox = inbox.length ? Buffer.concat([inbox, data]) : data;
  let at = 0;
  while (inbox.length - at >= 7) {
    const length = inbox.readUInt16BE(at + 5);
    if (inbox.length - at < 7 + length) break;
    take(inbox.readUInt8(at), inbox.readUInt32BE(at + 1), inbox.subarray(at + 7, at + 7 + length));
    at += 7 + length;
  }
  inbox = inbox.subarray(at);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.on('error', () => process.exit(0));
process.stdout.on('error', () => process.exit(0));

const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: false }, accept);
server.maxConnections = MOST;
let wanted = Number(process.argv[1]);
server.on('error', (error) => {
  if (wanted) {
    wanted = 0;
    server.listen(0, '127.0.0.1');
    return;
  }
  say(FAILED, 0, Buffer.from(String(error.message).slice(0, 1000)));
  process.stdin.destroy();
});
server.on('listening', () => say(READY, server.address().port, Buffer.from('node')));
server.listen(wanted, '127.0.0.1');
