// After a whole way from letter to chat, what was said and by whom is nowhere but in the two browsers,
// and there it is sealed.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inviteOf } from '../support/api.js';
import { CLUSTER } from '../support/cluster.js';
import type { Profile } from '../support/profile.js';
import { type Secret, files, find, secret, simSecrets } from '../support/secrets.js';
import { Guest } from '../support/room.js';
import { FRAME, type Wire } from '../support/wire.js';
import { expect, test } from '../support/wired.js';

test.use({ environment: { RUST_LOG: 'trace' } });

const NAMES = { alice: 'Philippa Quendelbrook', bob: 'Ottokar Wimmelstein' };
const PASSWORD = 'nineteen purple otters';
const WORDS = {
  'the letter': 'Meet me where the heron stood in March.',
  'the reply': 'I shall bring the blue thermos flask along.',
  'a message': 'The gate code has been changed to forty-four.',
  'an answer': 'Understood, and the dog stays at home then.',
};

interface Way {
  alices: Profile;
  bobs: Profile;
  /** What only the two may know. */
  private: Secret[];
  /** What gives a right at the server: it passes through it, and must not stay. */
  rights: Secret[];
}

/** Letter, link, reply, chat, SIM export with and without password, restore from the vault. */
async function goAllTheWay(wire: Wire, profile: (name: string) => Promise<Profile>): Promise<Way> {
  const [alices, bobs] = [await profile(NAMES.alice), await profile(NAMES.bob)];
  const [alice, bob] = [await alices.start(), await bobs.start()];
  const link = await alice.writeLetter(WORDS['the letter']);
  await bob.openLink(link);
  await bob.reply(WORDS['the reply']);
  await alice.openConversation(NAMES.bob);
  await alice.say(WORDS['a message']);
  await bob.hears(WORDS['a message']);
  await bob.say(WORDS['an answer']);
  await alice.hears(WORDS['an answer']);
  await bob.expectAllDelivered();
  const code = await alice.safetyCode(NAMES.bob);
  const open = await Promise.all([alice, bob].map(async (person) => readFile(await person.exportSim(), 'utf8')));
  await alice.textbox('New password').fill(PASSWORD);
  await alice.button('Set password').click();
  await expect(alice.button('Remove password')).toBeVisible();
  const sealed = await readFile(await alice.exportSim(), 'utf8');
  await wire.still();

  const fragment = new URL(link).hash.slice(1);
  const words = Object.entries({ ...WORDS, 'the password': PASSWORD });
  return {
    alices,
    bobs,
    private: [
      ...words.map(([what, text]) => secret(what, text)),
      ...Object.values(NAMES).map((name) => secret(`the name ${name}`, name)),
      secret("the link's secret", Buffer.from(fragment.slice(-26, -4), 'base64url')),
      secret("the link's secret as it is written", fragment.slice(-26, -4)),
      secret('the safety code', code),
      secret('the sealed SIM file', sealed.trim().slice(-60)),
      ...simSecrets(open[0]!, NAMES.alice),
      ...simSecrets(open[1]!, NAMES.bob),
    ],
    rights: rights(wire, link),
  };
}

/** Addresses, tokens and tickets, as they were on the wire. */
function rights(wire: Wire, link: string): Secret[] {
  const found: Secret[] = [secret('the invite', inviteOf(link).slice(-60))];
  for (const frame of wire.sent.filter((frame) => frame[1] === FRAME.send)) {
    found.push(secret('an address', frame.subarray(6, 22)));
  }
  for (const token of Buffer.concat(wire.back).toString('latin1').matchAll(/"address_token":"([^"]+)"/g)) {
    found.push(secret('an address token', token[1]!.slice(-60)));
  }
  for (const frame of wire.back.filter((frame) => frame[0] === 1 && frame[1] === 0x82)) {
    found.push(secret('a ticket', frame.subarray(-32)));
  }
  expect(found.map(({ what }) => what)).toEqual(expect.arrayContaining(['an address', 'an address token', 'a ticket']));
  return found;
}

test('the server keeps nothing of what was said, by whom, or of what gives a right', async ({ wire, server, profile }) => {
  test.setTimeout(120_000);
  const { private: secrets, rights } = await goAllTheWay(wire, (name) => profile(name));
  const places = new Map<string, Buffer>([['addresses asked for', Buffer.from(wire.asked.join('\n'))]]);
  for (const { pid, adminPort } of server.nodes) {
    places.set(`metrics of ${pid}`, Buffer.from(await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()));
    places.set(`command line of ${pid}`, await readFile(`/proc/${pid}/cmdline`));
    places.set(`environment of ${pid}`, await readFile(`/proc/${pid}/environ`));
  }
  const stored = async (when: string) => {
    for (const folder of server.stores) {
      for (const [name, bytes] of await files(folder)) places.set(`${name}${when}`, bytes);
    }
  };
  await stored('');
  await server.stop();
  await stored(', after the end');
  places.set('log', Buffer.from(server.output));
  expect(find([...secrets, ...rights], places)).toEqual([]);

  // What is there is found: the search looks in the right places, and the log says what it can.
  const hashes = rights.filter(({ what }) => what === 'an address').map(({ bytes }) => createHash('sha256').update(bytes).digest());
  expect(find(hashes.map((hash) => secret('a hash', hash)), places).join()).toMatch(/a hash \(raw\) in \S*(sqlite|db|postgres)/);
  expect(server.output).toMatch(/DEBUG/);
  expect(places.get('addresses asked for')!.toString()).toContain('POST /api/import_contact');
});

test('what only the two may know is in nothing that passes between them', async ({ wire, profile }) => {
  test.setTimeout(120_000);
  const { private: secrets, rights } = await goAllTheWay(wire, (name) => profile(name));
  const passed = new Map([
    ['what was sent', Buffer.concat(wire.out)],
    ['what came back', Buffer.concat(wire.back)],
  ]);
  expect(find(secrets, passed)).toEqual([]);
  // Rights do pass: the search sees what is there.
  expect(find(rights, passed).join()).toContain('an address (raw) in what was sent');
});

test('a closed or killed browser keeps nothing readable on the disk', async ({ wire, profile }) => {
  test.setTimeout(120_000);
  const { alices, bobs, private: secrets } = await goAllTheWay(wire, (name) => profile(name));
  // What nobody sealed would be found.
  const probe = secret('the probe', 'an open word, for the search to find');
  await alices.person.page.evaluate((text) => localStorage.setItem('probe', text), probe.bytes.toString());
  await alices.close();
  await bobs.kill();
  const ofLink = ({ what }: Secret) => what.startsWith("the link's secret");
  for (const browser of [alices, bobs]) {
    const kept = await files(browser.folder);
    expect(find(secrets.filter((one) => !ofLink(one)), kept)).toEqual([]);
    // A browser remembers the addresses of pages, and the link was one until Open; only in its own books.
    const books = /(History|Favicons|Top Sites|Shortcuts|Sessions\/\w+|Network Action Predictor|ukm_db)(-journal|-wal)?$/;
    expect(find(secrets.filter(ofLink), kept).filter((found) => !books.test(found))).toEqual([]);
  }
  expect(find([probe], await files(alices.folder))).not.toEqual([]);
});

test('what is said in a room, by whom, and its code are nowhere but in the browsers, and then nowhere', async ({ wire, server, profile }) => {
  test.setTimeout(120_000);
  const [alices, bobs] = [await profile(NAMES.alice), await profile(NAMES.bob)];
  const [alice, bob] = [await alices.start(), await bobs.start()];
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make();
  await a.join(link, NAMES.alice);
  await b.join(link, NAMES.bob);
  await a.say(WORDS['a message']);
  await bob.hears(WORDS['a message']);
  await b.say(WORDS['an answer']);
  await alice.hears(WORDS['an answer']);
  await wire.still();
  const code = new URL(link).hash.slice(1);
  const secrets = [
    secret('what was said', WORDS['a message']),
    secret('what was answered', WORDS['an answer']),
    ...Object.values(NAMES).map((name) => secret(`the name ${name}`, name)),
    secret('the code', code),
  ];
  const places = new Map<string, Buffer>([
    ['addresses asked for', Buffer.from(wire.asked.join('\n'))],
    ['what was sent', Buffer.concat(wire.out)],
    ['what came back', Buffer.concat(wire.back)],
  ]);
  const stored = async (when: string) => {
    for (const folder of server.stores) {
      for (const [name, bytes] of await files(folder)) places.set(`${name}${when}`, bytes);
    }
  };
  await stored('');
  // What does pass, and is stored meanwhile: the search sees what is there.
  const joins = wire.sent.filter((frame) => frame[1] === FRAME.roomJoin);
  expect(joins).toHaveLength(2);
  const rights = joins.map((frame) => secret('a key', frame.subarray(54, 119)));
  const token = secret('the token', joins[0]!.subarray(22, 54));
  expect(find(rights, places).join()).toMatch(/a key \(raw\) in \S*(sqlite|db|postgres)/);

  // A browser that is closed in the middle of it keeps the code, sealed; in its books only as an address.
  await bobs.kill();
  const books = /(History|Favicons|Top Sites|Shortcuts|Sessions\/\w+|Network Action Predictor|ukm_db)(-journal|-wal)?$/;
  for (const [name, bytes] of await files(bobs.folder)) if (!books.test(name)) places.set(`browser: ${name}`, bytes);
  await alice.button('End for all').click();
  await alice.confirm();
  await a.expectOver('This room has ended');
  await server.stop();
  await stored(', after the end');
  places.set('log', Buffer.from(server.output));
  expect(find(secrets, places)).toEqual([]);
  // After the end not even who was there by their keys is left on the server.
  // PostgreSQL overwrites what was deleted when it vacuums: docs/operations.md.
  const after = new Map([...places].filter(([name]) => name.endsWith(', after the end')));
  if (!CLUSTER) expect(find(rights, after)).toEqual([]);
  // The token passes with each joining; the server keeps its hash.
  const kept = new Map([...places].filter(([name]) => name !== 'what was sent'));
  expect(find([token], kept)).toEqual([]);
  expect(find([token], places).join()).toContain('the token (raw) in what was sent');
});
