import { expect, meet, test } from '../support/fixtures.js';
import { expectAccessible, expectFits } from '../support/looks.js';
import { mine, theirs } from '../support/person.js';
import { tour } from '../support/tour.js';

const PAGES = ['/', '/letter', '/i', '/chat', '/settings', '/r', '/rooms'];

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds nothing on any page or dialog, ${colorScheme}`, async ({ person }) => {
    test.setTimeout(240_000);
    const alice = await person('Alice', { colorScheme });
    for (const stop of tour(alice, await person('Bob'), await person('Carol'))) {
      await test.step(stop.name, async () => {
        await stop.show();
        await expectAccessible(alice.page, stop.name);
      });
    }
  });
}

test('every page and dialog fits into 320 pixels', async ({ person, bob, carol }) => {
  test.setTimeout(240_000);
  const alice = await person('Alice', { viewport: { width: 320, height: 640 } });
  for (const stop of tour(alice, bob, carol)) {
    await test.step(stop.name, async () => {
      await stop.show();
      await expectFits(alice.page, stop.name);
    });
  }
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds nothing and nothing overflows while something is wrong, ${colorScheme}`, async ({ person, bob }) => {
    test.setTimeout(120_000);
    const alice = await person('Alice', { viewport: { width: 320, height: 640 }, colorScheme });
    const fine = async (where: string) => {
      await expectAccessible(alice.page, where);
      await expectFits(alice.page, where);
    };
    await alice.createSim();
    await fine('a SIM and nobody to talk to');
    await meet(alice, bob);
    await alice.offline();
    await alice.say('not sent yet');
    await expect(alice.connection).toHaveAttribute('data-connection', /offline|connecting/);
    await fine('offline');
    await alice.online();
    await alice.expectState('not sent yet', 'delivered');
    const file = await alice.exportSim();
    const newer = await person('Alice');
    await newer.importSim(file);
    await expect(alice.button('Use here')).toBeVisible();
    await fine('the SIM is used elsewhere');
    await alice.button('Use here').click();
    // What is said before that goes to the browser which has the SIM.
    await expect(newer.button('Use here')).toBeVisible();
    await alice.openConversation('Bob');
    await bob.say('to whoever has the SIM');
    await alice.hears('to whoever has the SIM');
    await fine('after new keys');
    await bob.block('Alice');
    await alice.sayInVain('to nobody');
    await fine('failed');
  });
}

test('the whole way goes by keyboard alone', async ({ alice, bob }) => {
  /** Tabs until this has the focus, as somebody without a mouse does. */
  const tabTo = async (person: typeof alice, name: string, role?: 'button' | 'textbox' | 'link') => {
    const { page } = person;
    const target = role ? page.getByRole(role, { name, exact: true }) : page.getByLabel(name, { exact: true });
    await expect(target).toBeVisible();
    for (let n = 0; n < 60; n += 1) {
      if (await target.evaluate((element) => element === document.activeElement)) {
        // And it can be seen where one is.
        const outline = await target.evaluate((element) => {
          const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
          return (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none';
        });
        expect(outline, `${name} shows that it has the focus`).toBe(true);
        return;
      }
      await person.page.keyboard.press('Tab');
    }
    throw new Error(`no way to ${role ?? 'what is named'} "${name}" by Tab`);
  };
  const type = (person: typeof alice, text: string) => person.page.keyboard.type(text);

  await alice.goto('/');
  await tabTo(alice, 'Write a letter', 'link');
  await alice.page.keyboard.press('Enter');
  await alice.page.waitForURL('**/letter');
  await alice.ready();
  await tabTo(alice, 'Letter', 'textbox');
  await type(alice, 'typed, not clicked');
  await tabTo(alice, 'Your name', 'textbox');
  await type(alice, 'Alice');
  await tabTo(alice, 'Create link', 'button');
  await alice.page.keyboard.press('Enter');
  const link = await alice.shownLink();
  await tabTo(alice, 'Copy link', 'button');

  await bob.page.goto(link);
  await bob.ready();
  await tabTo(bob, 'Open', 'button');
  await bob.page.keyboard.press('Enter');
  await tabTo(bob, 'Reply', 'textbox');
  await type(bob, 'answered the same way');
  await tabTo(bob, 'Your name', 'textbox');
  await type(bob, 'Bob');
  await tabTo(bob, 'Send reply', 'button');
  await bob.page.keyboard.press('Enter');
  await bob.inConversation();
  await tabTo(bob, 'Message', 'textbox');
  await type(bob, 'and on');
  await bob.page.keyboard.press('Enter');
  await bob.expectConversation([theirs('typed, not clicked'), mine('answered the same way'), mine('and on')]);

  // A dialog holds the focus, Escape closes it, and the focus goes back to where it was.
  await tabTo(bob, 'Share contact', 'button');
  await bob.page.keyboard.press('Enter');
  await expect(bob.dialog).toBeVisible();
  await bob.shownLink();
  for (let n = 0; n < 15; n += 1) {
    await bob.page.keyboard.press('Tab');
    const outside = await bob.page.evaluate(
      () => document.activeElement !== document.body && document.activeElement?.closest('dialog') === null,
    );
    expect(outside, 'the focus left the dialog').toBe(false);
  }
  await bob.page.keyboard.press('Escape');
  await expect(bob.dialog).toHaveCount(0);
  await expect(bob.button('Share contact')).toBeFocused();

  // The menu of a conversation, and the settings.
  await tabTo(bob, 'Conversation menu');
  await bob.page.keyboard.press('Enter');
  await tabTo(bob, 'Safety code', 'button');
  await bob.page.keyboard.press('Enter');
  const code = await bob.shownSafetyCode();
  expect(code).toMatch(/^\d{60}$/);
  await bob.page.keyboard.press('Escape');
  await expect(bob.dialog).toHaveCount(0);
  await expect(bob.page.getByLabel('Conversation menu', { exact: true })).toBeFocused();
  await tabTo(bob, 'Settings', 'link');
  await bob.page.keyboard.press('Enter');
  await bob.page.waitForURL('**/settings');
  await bob.ready();
  await tabTo(bob, 'Safety code with Alice', 'button');
  await bob.page.keyboard.press('Enter');
  expect(await bob.shownSafetyCode()).toBe(code);
  await bob.page.keyboard.press('Escape');
  await expect(bob.button('Safety code with Alice')).toBeFocused();
  await tabTo(bob, 'Block Alice', 'button');
  await bob.page.keyboard.press('Enter');
  await tabTo(bob, 'Block', 'button');
  await bob.page.keyboard.press('Enter');
  await expect(bob.page.getByText('You blocked this contact', { exact: false })).toBeVisible();
  await expect(bob.button('Block Alice')).toHaveCount(0);
  await expect(bob.button('Safety code with Alice')).toBeVisible();
});

test('a screen reader hears new messages and errors', async ({ alice, bob }) => {
  await meet(alice, bob);
  // A log is a live region by its role: what is added to it is read, unless that is switched off or it is busy.
  expect(await alice.log.getAttribute('aria-live')).not.toBe('off');
  await expect(alice.log).toHaveAttribute('aria-busy', 'false');
  const added = alice.log.evaluate(
    (log) =>
      new Promise<{ texts: string[]; busy: string | null }>((resolve) => {
        new MutationObserver((changes) => {
          const nodes = changes.flatMap(({ addedNodes }) => [...addedNodes]);
          const texts = nodes.map((node) => node.textContent?.trim() ?? '').filter(Boolean);
          if (texts.length > 0) resolve({ texts, busy: log.getAttribute('aria-busy') });
        }).observe(log, { childList: true });
      }),
  );
  await bob.say('read this aloud');
  expect(await added).toEqual({ texts: [expect.stringContaining('read this aloud')], busy: 'false' });

  for (const path of PAGES) {
    await alice.goto(path);
    await expect(alice.page.locator('html')).toHaveAttribute('lang', 'en');
    await expect(alice.page.getByRole('main')).toHaveCount(1);
    await expect(alice.page.getByRole('heading', { level: 1 })).toHaveCount(1);
    expect(await alice.page.title()).not.toBe('');
  }
  // An alert is read when it comes, and is gone with its reason.
  await alice.goto('/letter');
  await expect(alice.alert).toHaveCount(0);
  await alice.button('Create link').click();
  await expect(alice.alert).toHaveText(/\S/);
  await alice.textbox('Letter').fill('now there is one');
  await alice.button('Create link').click();
  await alice.shownLink();
  await expect(alice.alert).toHaveCount(0);
});

test('who wants less motion gets none', async ({ person, bob }) => {
  const alice = await person('Alice', { reducedMotion: 'reduce' });
  await meet(alice, bob);
  await alice.button('Share contact').click();
  await alice.shownLink();
  const moving = await alice.page.evaluate(() =>
    document
      .getAnimations()
      .map((animation) => Number(animation.effect?.getComputedTiming().duration))
      .filter((duration) => duration > 1),
  );
  expect(moving).toEqual([]);
  expect(await alice.page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior)).not.toBe('smooth');
});

test('long words, long texts and other scripts keep their shape', async ({ person }) => {
  const narrow = { viewport: { width: 320, height: 640 } };
  const alice = await person('علياء العربية', narrow);
  const bob = await person(`B${'o'.repeat(80)}b`, narrow);
  const long = 'x'.repeat(600);
  await meet(alice, bob);
  await bob.say(long);
  await alice.hears(long);
  await alice.say('مرحبا بك، كيف حالك؟');
  await bob.hears('مرحبا بك، كيف حالك؟');
  await alice.say('first line\nsecond line\n<b>not bold</b> & "quoted"');
  await bob.hears('first line\nsecond line\n<b>not bold</b> & "quoted"');
  await expect(bob.log.locator('b')).toHaveCount(0);
  for (const person of [alice, bob]) {
    await expectFits(person.page, 'conversation');
    await person.goto('/chat');
    await expect(person.conversations).toHaveCount(1);
    await expectFits(person.page, 'list');
    await person.goto('/settings');
    await expect(person.button('Download SIM')).toBeVisible();
    await expectFits(person.page, 'settings');
  }
  await alice.openConversation(bob.name);
  const direction = (text: string) =>
    alice.message(text).locator('[dir=auto]').evaluate((element) => getComputedStyle(element).direction);
  expect(await direction('مرحبا بك، كيف حالك؟')).toBe('rtl');
  expect(await direction(long)).toBe('ltr');
  const height = async (text: string) => (await alice.message(text).boundingBox())!.height;
  expect(await height('first line\nsecond line\n<b>not bold</b> & "quoted"')).toBeGreaterThan(
    (await height('مرحبا بك، كيف حالك؟')) * 1.5,
  );
});

test('an unknown path is a finished page', async ({ alice }) => {
  alice.watch.expectStatus(404);
  const answer = await alice.page.goto('/no/such/page');
  expect(answer?.status()).toBe(404);
  await alice.ready();
  await expect(alice.page.getByRole('heading', { level: 1 })).toBeVisible();
  await alice.page.getByRole('link', { name: 'To the start', exact: true }).click();
  await alice.ready();
  await expect(alice.page.getByRole('link', { name: 'Write a letter', exact: true })).toBeVisible();
});

test('without JavaScript every page can be read, and says what it needs', async ({ person }) => {
  const visitor = await person('Visitor', { javaScriptEnabled: false });
  for (const path of PAGES) {
    const answer = await visitor.page.goto(path);
    expect(answer?.status()).toBe(200);
    await expect(visitor.page.getByRole('heading', { level: 1 })).toBeVisible();
    await expect(visitor.page.getByText(/JavaScript/)).toBeVisible();
  }
  await visitor.page.goto('/');
  await expect(visitor.page.getByRole('link', { name: 'Write a letter', exact: true })).toBeVisible();
  await visitor.page.goto('/letter');
  await expect(visitor.textbox('Letter')).toBeVisible();
});

test('what was typed before the page is ready stays', async ({ alice }) => {
  // Everything that would make the page live waits.
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await alice.context.route('**/*.wasm', async (route) => {
    await held;
    await route.continue();
  });
  await alice.page.goto('/letter', { waitUntil: 'commit' });
  await alice.textbox('Letter').fill('typed at once');
  await alice.textbox('Your name').fill('Alice');
  await expect(alice.page.locator('html')).not.toHaveAttribute('data-hydrated', 'true');
  release();
  await alice.ready();
  await expect(alice.textbox('Letter')).toHaveValue('typed at once');
  await expect(alice.textbox('Your name')).toHaveValue('Alice');
  await alice.button('Create link').click();
  await alice.shownLink();
});

test('every page, script and error carries the headers that keep it safe', async ({ alice, bob, server }) => {
  const seen = new Map<string, Record<string, string>>();
  alice.context.on('response', (answer) => seen.set(new URL(answer.url()).pathname, answer.headers()));
  await meet(alice, bob);
  for (const path of PAGES) await alice.goto(path);
  const paths = [...seen.keys()];
  for (const kind of [/\.wasm$/, /\.js$/, /\.css$/]) expect(paths.filter((path) => kind.test(path))).not.toEqual([]);
  for (const [path, headers] of seen) {
    expect(headers['x-content-type-options'], path).toBe('nosniff');
    expect(headers['referrer-policy'], path).toBe('no-referrer');
    expect(headers['set-cookie'], path).toBeUndefined();
  }
  // The page and the worker's script are governed by the same policy.
  for (const path of [...PAGES, ...paths.filter((name) => /\.js$/.test(name)), '/no/such/page']) {
    const answer = await fetch(server.url + path);
    const policy = answer.headers.get('content-security-policy') ?? '';
    const rules = new Map(
      policy.split(';').map((rule) => {
        const [name, ...values] = rule.trim().split(/\s+/);
        return [name, values.join(' ')];
      }),
    );
    expect(rules.get('default-src'), path).toBe("'none'");
    expect(rules.get('script-src'), path).toBe("'self' 'wasm-unsafe-eval'");
    expect(rules.get('style-src'), path).toBe("'self'");
    expect(rules.get('connect-src'), path).toBe("'self'");
    expect(rules.get('frame-ancestors'), path).toBe("'none'");
    expect(rules.get('base-uri'), path).toBe("'none'");
    expect(rules.get('form-action'), path).toBe("'none'");
    expect(rules.get('require-trusted-types-for'), path).toBe("'script'");
    expect(policy).not.toContain('unsafe-inline');
    expect(policy).not.toContain("'unsafe-eval'");
  }
});

test('pages are the same bytes for everybody, without inline script or style', async ({ server }) => {
  const visitors: Record<string, string>[] = [
    {},
    { 'user-agent': 'somebody else', 'accept-language': 'de', cookie: 'a=b' },
    { 'x-forwarded-for': '203.0.113.7', 'accept-language': 'ar' },
  ];
  const load = async (path: string, headers: Record<string, string>) => {
    const answer = await fetch(server.url + path, { headers: { ...headers, 'accept-encoding': 'identity' } });
    return answer.text();
  };
  const first = new Map<string, string>();
  for (const path of [...PAGES, '/no/such/page']) {
    for (const headers of visitors) {
      const html = await load(path, headers);
      expect(html).toBe(first.get(path) ?? html);
      first.set(path, html);
    }
    const html = first.get(path)!;
    expect(html).toMatch(/^<!doctype html>/i);
    for (const [tag] of html.matchAll(/<script\b[^>]*>/gi)) expect(tag).toMatch(/\bsrc=/);
    expect(html).not.toMatch(/<style\b|\sstyle=|\son[a-z]+=|nonce/i);
  }
  // Nor does a restart change them.
  await server.stop();
  await server.run();
  for (const [path, html] of first) expect(await load(path, {})).toBe(html);
});

test('nothing is asked of another origin, and no secret leaves the browser', async ({ alice, bob, server }) => {
  const asked: string[] = [];
  for (const person of [alice, bob]) {
    person.context.on('request', (request) => asked.push(`${request.url()} ${request.postData() ?? ''}`));
  }
  const link = await alice.writeLetter('nobody else may read this');
  await bob.openLink(link);
  await bob.reply('nor this answer');
  await alice.openConversation('Bob');
  await alice.hears('nor this answer');
  await alice.goto('/settings');
  const foreign = asked.filter((url) => !/^(blob|data):/.test(url) && !url.startsWith(`${server.url}/`));
  expect(foreign).toEqual([]);
  const secret = link.slice(-26, -4);
  for (const request of asked) {
    // A browser keeps the fragment of a page's own address to itself.
    const sent = request.replace(/#\S*/, '');
    expect(sent).not.toContain(secret);
    expect(sent).not.toMatch(/nobody else may read this|nor this answer|Alice/);
  }
  expect(server.output).not.toContain(secret);
  expect(server.output).not.toMatch(/nobody else may read this|Alice/);
});

test('static files never change under their name, and are compressed', async ({ alice, server }) => {
  const files = new Set<string>();
  alice.context.on('response', (answer) => {
    const { pathname } = new URL(answer.url());
    if (/\.(js|wasm|css)$/.test(pathname)) files.add(pathname);
  });
  await alice.goto('/chat');
  await expect(alice.button('Create SIM')).toBeVisible();
  expect(files.size).toBeGreaterThan(2);
  for (const file of files) {
    for (const encoding of ['br', 'gzip']) {
      const answer = await fetch(server.url + file, { headers: { 'accept-encoding': encoding } });
      expect(answer.headers.get('content-encoding'), file).toBe(encoding);
      expect(answer.headers.get('cache-control'), file).toMatch(/max-age=31536000.*immutable/);
    }
  }
});

test('the look can be chosen, and stays', async ({ alice }) => {
  await alice.goto('/settings');
  const background = () => alice.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await alice.page.getByRole('combobox', { name: 'Look', exact: true }).selectOption('Dark');
  await expect.poll(background).not.toBe(light);
  const dark = await background();
  await alice.reload();
  await expect.poll(background).toBe(dark);
  await alice.goto('/');
  await expect.poll(background).toBe(dark);
});
