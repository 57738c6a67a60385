import { readFile, writeFile } from 'node:fs/promises';
import { expect, meet, test } from '../support/fixtures.js';
import { type Person, mine, theirs } from '../support/person.js';
import { readQr } from '../support/qr.js';

/** Somebody's next browser: the old one is lost with all that was in it, after the SIM's copy was up to date. */
async function loseBrowser(person: Person, make: (name: string) => Promise<Person>): Promise<Person> {
  await person.expectCopied();
  await person.closeTabs();
  return make(person.name);
}

test('a SIM is made, exported, and imported elsewhere', async ({ alice, bob, person }) => {
  await alice.createSim();
  const file = await alice.exportSim();
  const link = await alice.shareContact();
  await bob.openLink(link);
  await bob.addContact();
  await bob.say('to the first browser');
  await alice.openConversation('Bob');
  await alice.hears('to the first browser');
  const next = await loseBrowser(alice, person);
  await next.importSim(file);
  await next.openConversation('Bob');
  await next.say('from the second browser');
  await bob.hears('from the second browser');
  await bob.say('heard');
  await next.hears('heard');
  await next.goto('/settings');
  await expect(next.textbox('Your name')).toHaveValue('Alice');
});

test('the file made on the first day brings back ten contacts made after it', async ({ alice, person }) => {
  test.setTimeout(240_000);
  await alice.createSim();
  const file = await alice.exportSim();

  const friends: Person[] = [];
  for (let n = 0; n < 10; n += 1) friends.push(await person(`Friend ${'ABCDEFGHIJ'[n]}`));
  // Half of them by letter, half by contact, half of those conversations begun by the friend.
  for (const [n, friend] of friends.entries()) {
    if (n % 2 === 0) {
      await friend.openLink(await alice.writeLetter(`a letter to ${friend.name}`));
      await friend.reply(`a reply from ${friend.name}`);
    } else {
      await friend.openLink(await alice.shareContact());
      await friend.addContact();
    }
  }
  await alice.goto('/chat');
  await expect(alice.conversations).toHaveCount(10);

  const next = await loseBrowser(alice, person);
  await next.importSim(file);
  await expect(next.conversations).toHaveCount(10);
  for (const friend of friends) {
    await next.openConversation(friend.name);
    await next.say(`back again, ${friend.name}`);
    await friend.hears(`back again, ${friend.name}`);
    await friend.say(`welcome back from ${friend.name}`);
    await next.hears(`welcome back from ${friend.name}`);
    await next.expectState(`back again, ${friend.name}`, 'delivered');
  }
});

test('what was on its way to a lost browser arrives in the next', async ({ alice, bob, person }) => {
  await meet(alice, bob);
  const file = await alice.exportSim();
  const next = await loseBrowser(alice, person);
  await bob.say('said to nobody');
  await bob.expectState('said to nobody', 'sent');
  await next.importSim(file);
  await next.openConversation('Bob');
  await next.hears('said to nobody');
  await bob.expectState('said to nobody', 'delivered');
});

test('an open link and an unanswered letter come back too', async ({ alice, bob, carol, person }) => {
  await alice.createSim();
  const file = await alice.exportSim();
  const mineLink = await alice.writeLetter('waiting to be opened');
  const carols = await carol.writeLetter('waiting for an answer');
  await alice.openLink(carols);
  await expect(alice.letter).toContainText('waiting for an answer');
  await alice.goto('/chat');
  await expect(alice.waitingLetter('Carol')).toBeVisible();
  const next = await loseBrowser(alice, person);
  await next.importSim(file);
  await next.waitingLetter('Carol').click();
  await expect(next.letter).toContainText('waiting for an answer');
  await next.reply('answered from the next browser');
  await carol.openConversation('Alice');
  await carol.hears('answered from the next browser');
  await bob.openLink(mineLink);
  await bob.reply('found you');
  await next.openConversation('Bob');
  await next.expectConversation([mine('waiting to be opened'), theirs('found you')]);
});

test('a file with a password needs it, a wrong one is told, a damaged file too', async ({ alice, person }, info) => {
  await alice.createSim('correct horse');
  const file = await alice.exportSim();
  expect(await readFile(file, 'utf8')).not.toContain('Alice');
  const next = await loseBrowser(alice, person);
  await next.openImport();

  await next.tryImport(file);
  await expect(next.alert).toContainText(/password/i);
  await next.tryImport(file, 'wrong horse');
  await expect(next.alert).toContainText(/password is wrong/i);

  const bytes = await readFile(file);
  const damaged = info.outputPath('damaged.sim');
  for (const bad of [bytes.subarray(0, bytes.length / 2), Buffer.from('hello'), Buffer.alloc(0)]) {
    await writeFile(damaged, bad);
    await next.tryImport(damaged, 'correct horse');
    await expect(next.alert).toContainText(/not a SIM, or it is damaged|choose the file/i);
  }
  await next.tryImport(file, 'correct horse');
  await expect(next.dialog).toHaveCount(0);
  await next.hasSim();
});

test('the older of two browsers notices, stops sending, and can take back', async ({ alice, bob, person }) => {
  await meet(alice, bob);
  const file = await alice.exportSim();
  await alice.openConversation('Bob');
  const newer = await person('Alice');
  await newer.importSim(file);
  await newer.openConversation('Bob');

  await expect(alice.button('Use here')).toBeVisible();
  await expect(newer.button('Use here')).toHaveCount(0);
  // What is typed into the older one is not sent, and not lost.
  await alice.textbox('Message').fill('from the older one');
  await alice.button('Send').click();
  await expect(alice.textbox('Message')).toHaveValue('from the older one');
  await expect(alice.message('from the older one')).toHaveCount(0);
  await newer.say('from the newer one');
  await bob.hears('from the newer one');
  await bob.say('to the newer one');
  await newer.hears('to the newer one');
  await expect(bob.message('from the older one')).toHaveCount(0);
  await expect(alice.button('Use here')).toBeVisible();

  await alice.button('Use here').click();
  await expect(newer.button('Use here')).toBeVisible();
  await expect(alice.button('Use here')).toHaveCount(0);
  await alice.openConversation('Bob');
  await alice.say('back in the older one');
  await bob.hears('back in the older one');
  await bob.say('welcome back');
  await alice.hears('welcome back');
  await expect(bob.message('from the newer one')).toHaveCount(1);
});

test('an old copy of the browser comes back, and neither loses nor doubles anything', async ({ alice, bob, person }) => {
  await meet(alice, bob);
  const file = await alice.exportSim();
  // The old browser is away when the new one takes over.
  await alice.closeTabs();
  const newer = await person('Alice');
  await newer.importSim(file);
  await newer.openConversation('Bob');
  await newer.say('only in the newer one');
  await bob.hears('only in the newer one');
  await alice.reopen();
  await expect(alice.button('Use here')).toBeVisible();
  await expect(newer.button('Use here')).toHaveCount(0);
  await alice.button('Use here').click();
  await alice.openConversation('Bob');
  await alice.say('and in the old one again');
  await bob.hears('and in the old one again');
});

test('continue on another device: the sealed SIM as a code and as text', async ({ alice, bob, person }) => {
  await meet(alice, bob);
  await alice.goto('/settings');
  await expect(alice.page.getByRole('heading', { name: 'Continue on another device' })).toBeVisible();
  await alice.textbox('Password for the other device').fill('carried over');
  await alice.button('Show code').click();
  const code = await alice.textbox('SIM code').inputValue();
  expect(await readQr(alice.page.getByRole('img', { name: 'SIM QR code', exact: true }))).toBe(code);

  const phone = await person('Alice', { viewport: { width: 390, height: 844 } });
  await phone.openImport();
  await phone.textbox('Or paste its text').fill(code);
  await phone.textbox('Password (optional)').fill('carried over');
  await phone.button('Import SIM').click();
  await expect(phone.dialog).toHaveCount(0);
  await phone.openConversation('Bob');
  await phone.say('from the phone');
  await bob.hears('from the phone');
  await expect(alice.dialog).toHaveCount(0);
  await expect(alice.button('Use here')).toBeVisible();
});

test('a second SIM does not push out the first', async ({ alice, bob, person }) => {
  await bob.createSim();
  const bobs = await bob.exportSim();
  await alice.createSim();
  await alice.exportSim();
  await alice.openImport();
  await alice.tryImport(bobs);
  await expect(alice.alert).toContainText(/already/i);
  await alice.page.keyboard.press('Escape');
  await expect(alice.dialog).toHaveCount(0);
  await alice.goto('/settings');
  await expect(alice.textbox('Your name')).toHaveValue('Alice');
  const other = await person('Bob');
  await other.importSim(bobs);
});

test('name and password can be changed later', async ({ alice, bob, person }) => {
  await alice.createSim();
  await alice.goto('/settings');
  await alice.textbox('Your name').fill('Alicia');
  await alice.button('Save name').click();
  await expect(alice.page.getByText('Saved', { exact: true })).toBeVisible();
  await alice.textbox('New password').fill('later thought');
  await alice.button('Set password').click();
  await expect(alice.button('Remove password')).toBeVisible();
  const file = await alice.exportSim();
  await bob.openLink(await alice.shareContact());
  await expect(bob.page.getByText('Alicia').first()).toBeVisible();
  const next = await loseBrowser(alice, person);
  await next.openImport();
  await next.tryImport(file);
  await expect(next.alert).toContainText(/password/i);
  await next.tryImport(file, 'later thought');
  await expect(next.dialog).toHaveCount(0);
});

test('a SIM of another server is refused, and which one it is, is said', async ({ bob, person, startServer, server }) => {
  const elsewhere = await startServer();
  const dora = await person('Dora', { on: elsewhere });
  await dora.createSim();
  const file = await dora.exportSim();
  await bob.openImport();
  await bob.tryImport(file);
  await expect(bob.alert).toContainText(elsewhere.url);
  expect(elsewhere.url).not.toBe(server.url);
  await bob.page.keyboard.press('Escape');
  await bob.createSim();
});

test('the password is not taken away without a question', async ({ alice }) => {
  await alice.createSim('sealed');
  await alice.goto('/settings');
  await alice.button('Remove password').click();
  const question = alice.page.getByRole('alertdialog');
  await question.getByRole('button', { name: 'Cancel', exact: true }).click();
  await expect(question).toHaveCount(0);
  await expect(alice.page.getByText('is sealed with a password.')).toBeVisible();
  await alice.button('Remove password').click();
  await alice.confirm();
  await expect(alice.button('Remove password')).toHaveCount(0);
  await expect(alice.page.getByText('has no password')).toBeVisible();
});

/** Seals something with the key at rest, or says whether that key still opens it; runs in the page. */
async function withKeyAtRest(sealed: number[] | undefined): Promise<number[] | boolean> {
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = indexedDB.open('rly');
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => resolve(opening.result);
  });
  const key = await new Promise<CryptoKey | undefined>((resolve, reject) => {
    const reading = db.transaction('keys').objectStore('keys').get('at-rest');
    reading.onerror = () => reject(reading.error);
    reading.onsuccess = () => resolve(reading.result as CryptoKey | undefined);
  });
  db.close();
  const cipher = { name: 'AES-GCM', iv: new Uint8Array(12) };
  if (sealed === undefined) {
    return [...new Uint8Array(await crypto.subtle.encrypt(cipher, key!, new Uint8Array([1, 2, 3])))];
  }
  if (key === undefined) return false;
  return crypto.subtle.decrypt(cipher, key, new Uint8Array(sealed)).then(
    () => true,
    () => false,
  );
}

test('everything in this browser can be deleted', async ({ alice, bob }) => {
  await meet(alice, bob);
  await alice.goto('/settings');
  await alice.page.getByRole('combobox', { name: 'Look' }).selectOption('Dark');
  const sealed = (await alice.page.evaluate(withKeyAtRest, undefined)) as number[];
  expect(await alice.page.evaluate(withKeyAtRest, sealed)).toBe(true);
  await alice.button('Delete everything in this browser').click();
  await alice.confirm();
  await expect(alice.page.getByText('Everything of Rly Chat was deleted in this browser.')).toBeVisible();
  // With the key, and the settings too.
  expect(await alice.page.evaluate(withKeyAtRest, sealed)).toBe(false);
  expect(await alice.page.evaluate(() => Object.keys(localStorage))).toEqual([]);
  await expect(alice.page.getByRole('combobox', { name: 'Look' })).toHaveValue('');
  await alice.goto('/chat');
  await expect(alice.button('Create SIM')).toBeVisible();
  await expect(alice.conversations).toHaveCount(0);
  // And a new life can begin.
  await alice.createSim();
  await expect(alice.conversations).toHaveCount(0);
});

test('a browser that refuses storage is told before Open, and nothing is used up', async ({ alice, bob, refusedPerson }) => {
  const link = await alice.writeLetter('do not lose me');
  const dora = await refusedPerson('Dora');
  const calls: string[] = [];
  dora.context.on('request', (request) => {
    if (request.url().includes('/api/')) calls.push(request.url());
  });
  await dora.page.goto(link);
  await dora.ready();
  await expect(dora.alert).toContainText(/storage/i);
  await expect(dora.button('Open')).toHaveCount(0);
  // Nor is a letter taken that could not be answered.
  await dora.goto('/letter');
  await expect(dora.alert).toContainText(/storage/i);
  await dora.goto('/chat');
  await expect(dora.alert).toContainText(/storage/i);
  expect(calls).toEqual([]);
  await bob.openLink(link);
  await expect(bob.letter).toContainText('do not lose me');
});

test('a browser whose storage is full says so, and nothing is lost', async ({ alice, bob, server }) => {
  test.setTimeout(120_000);
  await meet(alice, bob);
  await alice.say('before it was full');
  const cdp = await alice.context.newCDPSession(alice.page);
  await cdp.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: 1 });
  // Chromium grants for up to half a minute what it had reckoned before.
  await expect
    .poll(() => alice.page.evaluate(writeProbe), { timeout: 60_000 })
    .toBe('QuotaExceededError');

  await alice.textbox('Message').fill('refused at first');
  await alice.button('Send').click();
  await expect(alice.alert.first()).toContainText(/storage is full/i);
  await expect(alice.message('refused at first')).toHaveCount(0);
  // What was not taken is still in the box, and what comes in waits on the server.
  await expect(alice.textbox('Message')).toHaveValue('refused at first');
  await bob.say('while hers was full');
  await bob.expectState('while hers was full', 'sent');

  await cdp.send('Storage.overrideQuotaForOrigin', { origin: server.url });
  await alice.reload();
  await expect(alice.alert).toHaveCount(0);
  await alice.hears('while hers was full');
  await alice.say('there is room again');
  await bob.hears('there is room again');
  await bob.expectConversation([
    theirs('a letter from Alice'),
    mine('a reply from Bob'),
    theirs('before it was full'),
    mine('while hers was full'),
    theirs('there is room again'),
  ]);
});

/** Tries to store something beside the product's data; runs in the page. */
function writeProbe(): Promise<string> {
  return new Promise((resolve) => {
    const open = indexedDB.open('probe', 1);
    open.onupgradeneeded = () => open.result.createObjectStore('rows');
    open.onerror = () => resolve(open.error?.name ?? 'unknown');
    open.onsuccess = () => {
      const database = open.result;
      const end = (result: string) => {
        database.close();
        resolve(result);
      };
      const transaction = database.transaction('rows', 'readwrite');
      transaction.objectStore('rows').put('x'.repeat(100), 0);
      transaction.oncomplete = () => end('stored');
      transaction.onabort = () => end(transaction.error?.name ?? 'unknown');
    };
  });
}
