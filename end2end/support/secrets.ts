import { createECDH, createHmac, hkdfSync } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

/** Something that must not be found, and what it is. */
export interface Secret {
  what: string;
  bytes: Buffer;
}

export const secret = (what: string, value: string | Buffer): Secret => ({ what, bytes: Buffer.from(value as string) });

/** The forms in which bytes are written down. */
function forms({ bytes }: Secret): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const text = (form: string, value: string) => {
    found.set(form, Buffer.from(value));
    found.set(`${form}, UTF-16`, Buffer.from(value, 'utf16le'));
  };
  found.set('raw', bytes);
  text('hex', bytes.toString('hex'));
  text('HEX', bytes.toString('hex').toUpperCase());
  text('numbers', [...bytes].join(', '));
  text('numbers, no space', [...bytes].join(','));
  // Inside of something longer, base64 depends on where it begins: what all beginnings share.
  for (const skip of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(skip), bytes]);
    const from = Math.ceil((skip * 4) / 3);
    const inner = Math.floor((whole.length * 4) / 3) - from - 1;
    for (const encoding of ['base64', 'base64url'] as const) {
      const cut = whole.toString(encoding).replace(/=+$/, '').slice(from, from + inner);
      text(`${encoding} at ${skip}`, cut);
    }
  }
  const plain = bytes.toString('utf8');
  if (Buffer.from(plain).equals(bytes)) {
    text('text', plain);
    text('percent', encodeURIComponent(plain));
    text('JSON', JSON.stringify(plain).slice(1, -1));
  }
  return found;
}

/** Where any of them is, in whatever form: "what (form) in place". */
export function find(secrets: Secret[], places: Map<string, Buffer>): string[] {
  const found: string[] = [];
  for (const one of secrets) {
    if (one.bytes.length < 4) throw new Error(`${one.what} is too short to be told from chance`);
    for (const [form, needle] of forms(one)) {
      for (const [place, bytes] of places) {
        if (bytes.includes(needle)) found.push(`${one.what} (${form}) in ${place}`);
      }
    }
  }
  return found;
}

/** Every file below a folder. */
export async function files(folder: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    // Some go while one looks.
    const bytes = await readFile(file).catch(() => undefined);
    if (bytes) found.set(path.relative(folder, file), bytes);
  }
  return found;
}

/** What a SIM file without a password says, and all keys that follow from it: docs/protocol.md, 2 and 9. */
export function simSecrets(file: string, whose: string): Secret[] {
  const bytes = Buffer.from(file.trim().slice('rly-sim-1.'.length), 'base64url');
  if (bytes[0] !== 0) throw new Error('this file has a password');
  const seed = bytes.subarray(2, 34);
  const derived = (info: string) => Buffer.from(hkdfSync('sha256', seed, '', `${info}\0`, 32));
  const secrets = [
    secret(`the SIM file of ${whose}`, file.trim().slice('rly-sim-1.'.length, -12)),
    secret(`the seed of ${whose}`, seed),
    secret(`the vault key of ${whose}`, derived('rly sim vault key v1')),
  ];
  for (const [name, info] of [
    ['signing', 'rly sim signing key v1'],
    ['vault reader', 'rly sim vault reader key v1'],
  ] as const) {
    const pair = keyPair(derived(info));
    secrets.push(secret(`the ${name} key of ${whose}`, pair.private));
    // The vault's reader is known to the server, as its reader. The SIM key is the person.
    if (name === 'signing') secrets.push(secret(`the SIM key of ${whose}`, pair.public.subarray(1)));
  }
  return secrets;
}

/** DeriveKeyPair of DHKEM(P-256, HKDF-SHA256): RFC 9180, section 7.1.3. */
function keyPair(material: Buffer): { private: Buffer; public: Buffer } {
  const suite = Buffer.concat([Buffer.from('HPKE-v1KEM'), Buffer.of(0, 0x10)]);
  const hmac = (key: Buffer, ...parts: (Buffer | string)[]) => {
    const mac = createHmac('sha256', key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const extracted = hmac(Buffer.alloc(32), suite, 'dkp_prk', material);
  // The first candidate is below the curve's order but for one case in 2^32.
  const candidate = hmac(extracted, Buffer.of(0, 32), suite, 'candidate', Buffer.of(0), Buffer.of(1));
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(candidate);
  return { private: candidate, public: curve.getPublicKey() };
}
