/** A whole websocket message, and the bytes that it came in. */
export interface Message {
  data: Buffer;
  raw: Buffer;
}

/**
 * Cuts one direction of a websocket's stream (RFC 6455, section 5) into messages. What is not part
 * of a binary message (ping, pong, close) comes out with no data.
 */
export class Frames {
  #left = Buffer.alloc(0);
  #raw: Buffer[] = [];
  #data: Buffer[] = [];

  take(chunk: Buffer): Message[] {
    this.#left = Buffer.concat([this.#left, chunk]);
    const messages: Message[] = [];
    for (let frame = this.#next(); frame; frame = this.#next()) {
      const { control, last, data, raw } = frame;
      if (control) {
        messages.push({ data: Buffer.alloc(0), raw });
        continue;
      }
      this.#raw.push(raw);
      this.#data.push(data);
      if (!last) continue;
      messages.push({ data: Buffer.concat(this.#data), raw: Buffer.concat(this.#raw) });
      this.#raw = [];
      this.#data = [];
    }
    return messages;
  }

  #next(): { control: boolean; last: boolean; data: Buffer; raw: Buffer } | undefined {
    const bytes = this.#left;
    if (bytes.length < 2) return undefined;
    let [length, at] = [bytes[1]! & 0x7f, 2];
    if (length === 126) {
      if (bytes.length < 4) return undefined;
      [length, at] = [bytes.readUInt16BE(2), 4];
    } else if (length === 127) {
      if (bytes.length < 10) return undefined;
      [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
    }
    const mask = bytes[1]! & 0x80 ? bytes.subarray(at, at + 4) : undefined;
    if (mask) at += 4;
    const end = at + length;
    if (bytes.length < end) return undefined;
    this.#left = bytes.subarray(end);
    const data = Buffer.from(bytes.subarray(at, end));
    if (mask) for (let n = 0; n < data.length; n += 1) data[n]! ^= mask[n % 4]!;
    return { control: (bytes[0]! & 0x08) !== 0, last: (bytes[0]! & 0x80) !== 0, data, raw: bytes.subarray(0, end) };
  }
}
