import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { claim, expiryOf, inviteOf, makeInvite, publicKey } from '../support/api.js';
import { expect, test } from '../support/fixtures.js';

test('somebody else comes too late, is told when it was opened, and what to do', async ({ alice, bob, carol }) => {
  const link = await alice.writeLetter('for whoever is first');
  await bob.openLink(link);
  // Not only the reader: the sender sees it too, wherever they are.
  await alice.goto('/chat');
  await expect(alice.page.getByText(/opened at \d\d:\d\d/i)).toBeVisible();

  carol.watch.expectStatus(409);
  await carol.pressOpen(link);
  await expect(carol.alert).toContainText(/already opened at \d\d:\d\d/i);
  await expect(carol.letter).toHaveCount(0);
  // A text to ask for a new link.
  await expect(carol.page.getByText(/send me a new one/i)).toBeVisible();
  // The one who was first still has the letter.
  await bob.reload();
  await expect(bob.letter).toContainText('for whoever is first');
});

test('the same person may open it again', async ({ alice, bob }) => {
  const link = await alice.writeLetter('twice by the same');
  await bob.openLink(link);
  const again = await bob.newTab();
  await again.page.goto(link);
  await again.ready();
  await again.button('Open').click();
  await expect(again.letter).toContainText('twice by the same');
  await again.reply('and answered once');
  await alice.openConversation('Bob');
  await alice.hears('and answered once');
});

test('the same claim may be repeated, another one not', async ({ server }) => {
  const invite = await makeInvite(server);
  const key = publicKey();
  const first = await claim(server, invite, key);
  expect(first.status).toBe(200);
  expect(await claim(server, invite, key)).toEqual(first);
  const other = await claim(server, invite);
  expect(other.status).toBe(409);
  expect(other.body.error.code).toBe('invite_used');
  expect(Date.now() - Date.parse(other.body.error.opened_at)).toBeLessThan(60_000);
  // Also after a restart in the middle of it.
  await server.kill9();
  await server.run();
  expect(await claim(server, invite, key)).toEqual(first);
  expect((await claim(server, invite)).status).toBe(409);
});

test('of 64 claims at once exactly one wins', async ({ server }) => {
  const invite = await makeInvite(server);
  const keys = Array.from({ length: 64 }, publicKey);
  const answers = await Promise.all(keys.map((key) => claim(server, invite, key)));
  const won = answers.filter(({ status }) => status === 200);
  const lost = answers.filter(({ status, body }) => status === 409 && body.error.code === 'invite_used');
  expect([won.length, lost.length]).toEqual([1, 63]);
  for (const { body } of lost) expect(Date.parse(body.error.opened_at)).not.toBeNaN();
  // The winner can repeat it, so it really was the one that won.
  const winner = keys[answers.findIndex(({ status }) => status === 200)]!;
  expect((await claim(server, invite, winner)).status).toBe(200);
});

test('an expired link says so', async ({ alice, bob }) => {
  // The page offers an hour at least.
  await alice.context.route('**/api/share_contact', async (route) => {
    const body = { ...route.request().postDataJSON(), ttl_seconds: 1 };
    await route.continue({ postData: JSON.stringify(body) });
  });
  const link = await alice.writeLetter('gone in a second');
  await expect.poll(() => Date.now()).toBeGreaterThan(expiryOf(link) + 1000);
  bob.watch.expectStatus(410);
  await bob.pressOpen(link);
  await expect(bob.alert).toContainText(/expired/i);
  await expect(bob.letter).toHaveCount(0);
});

test('how long a link lives is chosen and shown', async ({ alice }) => {
  await alice.goto('/letter');
  await alice.textbox('Letter').fill('for an hour');
  await alice.fillName();
  await alice.page.getByRole('combobox', { name: 'The link works for' }).selectOption('1 hour');
  await alice.button('Create link').click();
  const left = expiryOf(await alice.shownLink()) - Date.now();
  expect(left).toBeGreaterThan(3_500_000);
  expect(left).toBeLessThanOrEqual(3_601_000);
  await expect(alice.page.getByText(/^Works until \d\d:\d\d/)).toBeVisible();
  await expect(alice.page.getByText(/for one person: whoever opens it first/i)).toBeVisible();
});

test('a withdrawn link cannot be opened', async ({ alice, bob }) => {
  const link = await alice.writeLetter('second thoughts');
  await alice.button('Withdraw link').click();
  await alice.confirm();
  await expect(alice.inviteLink).toHaveCount(0);
  await expect(alice.page.getByText(/was withdrawn/i)).toBeVisible();
  bob.watch.expectStatus(410);
  await bob.pressOpen(link);
  await expect(bob.alert).toContainText(/withdrawn/i);
  await expect(bob.letter).toHaveCount(0);
});

test('a mangled link is noticed before anything is claimed', async ({ alice, bob }) => {
  const link = await alice.writeLetter('whole');
  const claims: string[] = [];
  bob.context.on('request', (request) => {
    if (request.url().includes('/api/')) claims.push(request.url());
  });
  const changed = (at: number) => link.slice(0, at) + (link[at] === 'A' ? 'B' : 'A') + link.slice(at + 1);
  const start = link.indexOf('#') + 1;
  const mangled = [
    link.slice(0, -1),
    link.slice(0, -30),
    link.slice(0, start + 20),
    changed(start + 5),
    changed(link.length - 10),
    changed(link.length - 1),
    `${link}x`,
    `${link}%20and%20more`,
  ];
  for (const bad of mangled) {
    await bob.page.goto('about:blank');
    await bob.page.goto(bad);
    await bob.ready();
    await expect(bob.alert).toContainText(/not complete/i);
    await expect(bob.button('Open')).toHaveCount(0);
  }
  await bob.page.goto('about:blank');
  await bob.goto('/i');
  await expect(bob.page.getByText(/no letter in this address/i)).toBeVisible();
  expect(claims).toEqual([]);
  await bob.page.goto('about:blank');
  await bob.openLink(link);
  await expect(bob.letter).toContainText('whole');
});

test('a link of another server is refused in words', async ({ bob, person, startServer, server }) => {
  const elsewhere = await startServer();
  const dora = await person('Dora', { on: elsewhere });
  const link = await dora.writeLetter('from elsewhere');
  bob.watch.expectStatus(400);
  await bob.pressOpen(link.replace(elsewhere.url, server.url));
  await expect(bob.alert).toContainText(/not from this server/i);
  await expect(bob.letter).toHaveCount(0);
  // Where it belongs it is as good as before.
  const edgar = await person('Edgar', { on: elsewhere });
  await edgar.openLink(link);
  await expect(edgar.letter).toContainText('from elsewhere');
});

test('no GET, HEAD or prefetch uses a link up, whatever its headers', async ({ alice, bob, carol, server }) => {
  const link = await alice.writeLetter('untouched by robots');
  const invite = inviteOf(link);
  const url = link.slice(0, link.indexOf('#'));
  const scanners: Record<string, string>[] = [
    {},
    { 'user-agent': 'WhatsApp/2.24.1 A' },
    { 'user-agent': 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)' },
    { 'user-agent': 'Mozilla/5.0 (compatible; bingbot/2.0)' },
    { 'user-agent': 'facebookexternalhit/1.1', accept: '*/*' },
    { purpose: 'prefetch' },
    { 'sec-purpose': 'prefetch;prerender' },
    { 'x-moz': 'prefetch' },
    { 'x-purpose': 'preview' },
    { accept: 'application/json' },
    { accept: 'text/html', referer: `${server.url}/` },
    { range: 'bytes=0-10' },
    { 'if-none-match': '*' },
    { cookie: 'a=b', authorization: 'Bearer x' },
    { origin: 'https://elsewhere.example' },
    { 'x-http-method-override': 'POST' },
  ];
  let page: string | undefined;
  for (const headers of scanners) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await fetch(url, { method, headers });
      expect([200, 206, 304], `${method} ${JSON.stringify(headers)}`).toContain(answer.status);
      const body = await answer.text();
      if (method === 'GET' && answer.status === 200) expect(body).toBe((page ??= body));
      // Nor does asking the API in a wrong way, with everything that a claim needs.
      const query = new URLSearchParams({ invite, claim_key: publicKey() });
      const asked = await fetch(`${server.url}/api/import_contact?${query}`, { method, headers });
      expect([404, 405]).toContain(asked.status);
    }
  }
  for (const method of ['OPTIONS', 'PUT', 'DELETE', 'PATCH']) {
    expect((await fetch(`${server.url}/api/import_contact`, { method })).status).toBeGreaterThanOrEqual(400);
  }
  // A page of somebody else, in the same browser, cannot do it either.
  const foreign = await fetch(`${server.url}/api/import_contact`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://elsewhere.example' },
    body: JSON.stringify({ invite, claim_key: publicKey() }),
  });
  expect(foreign.status).toBe(403);

  // A page of somebody else has the browser itself fetch it ahead.
  const elsewhere = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end(`<!doctype html><link rel="icon" href="data:,"><link rel="prefetch" href="${link}">`);
  });
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  // What comes is kept from the other origin, which Chromium says.
  carol.watch.expectConsole(/ERR_BLOCKED_BY_RESPONSE.NotSameOrigin/);
  const prefetched = carol.page.waitForRequest((asked) => asked.url().startsWith(url));
  await carol.page.goto(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`);
  expect((await (await prefetched).allHeaders())['sec-purpose']).toBe('prefetch');
  elsewhere.close();

  // A scanner with a real browser that runs scripts and reloads, but presses nothing.
  await carol.page.goto(link);
  await carol.ready();
  await carol.reload();
  await carol.reload();
  await expect(carol.button('Open')).toBeVisible();
  await carol.closeTabs();
  await bob.openLink(link);
  await expect(bob.letter).toContainText('untouched by robots');
});

test('a second link in the same tab starts afresh', async ({ alice, bob, carol }) => {
  const first = await alice.writeLetter('the first letter');
  const second = await carol.writeLetter('the second letter');
  const third = await carol.writeLetter('the third letter');
  await bob.page.goto(first);
  await bob.ready();
  await expect(bob.button('Open')).toBeVisible();
  // Pasted over an unopened one: no load happens.
  await bob.page.evaluate((link) => location.assign(link), second);
  await bob.button('Open').click();
  await expect(bob.letter).toContainText('the second letter');
  // Pasted over an opened one.
  await bob.page.evaluate((link) => location.assign(link), third);
  await expect(bob.letter).toHaveCount(0);
  await bob.button('Open').click();
  await expect(bob.letter).toContainText('the third letter');
  // The first one was not touched.
  await bob.page.evaluate((link) => location.assign(link), first);
  await bob.button('Open').click();
  await expect(bob.letter).toContainText('the first letter');
  await bob.reply('to the first');
  await alice.openConversation('Bob');
  await alice.hears('to the first');
});

test("one's own link leads to no conversation with oneself", async ({ alice }) => {
  const link = await alice.writeLetter('to myself');
  await alice.page.goto('about:blank');
  await alice.openLink(link);
  await alice.textbox('Reply').fill('hello me');
  await alice.button('Send reply').click();
  await expect(alice.alert).toContainText(/your own link/i);
  await alice.goto('/chat');
  await expect(alice.button('Share contact')).toBeVisible();
  await expect(alice.conversations).toHaveCount(0);
});

test('on this computer only: the QR code says so', async ({ alice }) => {
  await alice.writeLetter('who can reach me?');
  await expect(alice.page.getByText(/works only on this computer/i)).toBeVisible();
  await expect(alice.page.getByText(/RLY_PUBLIC_URL/)).toBeVisible();
});

test('other names of this computer lead to the public address', async ({ alice, bob, server }) => {
  const link = await alice.writeLetter('by another name');
  const answer = await fetch(`http://localhost:${server.port}/letter`, { redirect: 'manual' });
  // Nothing that a browser keeps: the public address may be another one tomorrow.
  expect(answer.status).toBe(307);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('location')).toBe(`${server.url}/letter`);
  // The fragment survives.
  await bob.openLink(link.replace('127.0.0.1', 'localhost'));
  await expect(bob.letter).toContainText('by another name');
});

test('inside an app: better in your browser', async ({ alice, person }) => {
  const link = await alice.writeLetter('seen in an app');
  const inApp = await person('Ivy', {
    userAgent:
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 330.0.0.0',
  });
  await inApp.page.goto(link);
  await inApp.ready();
  await expect(inApp.page.getByText(/Better in your browser/i)).toBeVisible();
  await inApp.button('Copy link').click();
  expect(await inApp.pasted()).toBe(link);
  // In a browser there is nothing of it.
  await alice.page.goto(link);
  await alice.ready();
  await expect(alice.button('Open')).toBeVisible();
  await expect(alice.page.getByText(/Better in your browser/i)).toHaveCount(0);
});
