/**
 * native/drain.c for machines without a C compiler, with the same arguments and lines: it reads bodies into one buffer and looks at
 * nothing in them. Its own work is most of what is measured with it.
 */
import { connect } from 'node:net';

const [host = '', port = '', connections = '', times = '', rate = '', path = '', ...headers] =
  process.argv.slice(2);
const bytesPerSecond = Number(rate);
const fields = [`GET ${path} HTTP/1.1`, `Host: ${host}:${port}`, ...headers, '', ''];
const request = fields.join('\r\n');

/** One connection for all requests of one client. */
function run(left: number): void {
  const buffer = Buffer.allocUnsafeSlow(1 << 20);
  let head = '';
  let status = 0;
  let length = Number.POSITIVE_INFINITY;
  let got = 0;
  let firstMs = 0;
  let askedMs = 0;
  const socket = connect({
    host,
    port: Number(port),
    onread: {
      buffer,
      callback: (count, bytes) => {
        take(Buffer.from(bytes.buffer, bytes.byteOffset, count));
        return true;
      },
    },
  });
  const ask = (): void => {
    [head, status, length, got, firstMs, askedMs] = [
      '',
      0,
      Number.POSITIVE_INFINITY,
      0,
      0,
      performance.now(),
    ];
    socket.write(request);
  };
  const end = (): void => {
    process.stdout.write(`${status} ${got} ${firstMs.toFixed(3)} ${performance.now().toFixed(3)}\n`);
    if (left > 1 && got === length) {
      left -= 1;
      ask();
      return;
    }
    socket.destroy();
  };
  const take = (bytes: Buffer): void => {
    let body = bytes.length;
    if (status === 0) {
      const before = head.length;
      head += bytes.toString('latin1');
      const at = head.indexOf('\r\n\r\n');
      if (at < 0) return;
      status = Number(head.slice(9, 12));
      length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.POSITIVE_INFINITY);
      body = before + bytes.length - at - 4;
    }
    if (body > 0 && got === 0) firstMs = performance.now();
    got += body;
    if (got >= length) end();
    else if (bytesPerSecond > 0) pace();
  };
  const pace = (): void => {
    const aheadMs = (got / bytesPerSecond) * 1000 - (performance.now() - askedMs);
    if (aheadMs <= 0) return;
    socket.pause();
    setTimeout(() => socket.resume(), aheadMs);
  };
  socket.on('error', end);
  socket.on('end', end);
  ask();
}

for (let at = 0; at < Number(connections); at += 1) run(Number(times));
