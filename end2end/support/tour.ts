import { expect } from '@playwright/test';
import type { Person } from './person.js';
import { Guest } from './room.js';

/** A page or dialog, and how one gets there. Each step goes on from the one before. */
export interface Stop {
  name: string;
  show: () => Promise<void>;
}

/** Every page and dialog, as Alice sees them. Bob and Carol are there to be talked to. */
export function tour(alice: Person, bob: Person, carol: Person): Stop[] {
  const escape = async () => {
    await alice.page.keyboard.press('Escape');
    await alice.dialog.or(alice.page.getByRole('alertdialog')).waitFor({ state: 'hidden' });
  };
  let carols = '';
  let link = '';
  let room = '';
  const [a, b, c] = [new Guest(alice), new Guest(bob), new Guest(carol)];
  return [
    { name: 'start', show: () => alice.goto('/') },
    {
      name: 'create-sim',
      show: async () => {
        await alice.button('Create SIM').click();
        await alice.dialog.waitFor();
      },
    },
    {
      name: 'import-sim',
      show: async () => {
        await alice.openImport();
      },
    },
    {
      name: 'import-no-sim',
      show: async () => {
        await alice.page
          .getByLabel('SIM file', { exact: true })
          .setInputFiles({ name: 'holiday.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no SIM at all') });
        await alice.button('Import SIM').click();
        await alice.alert.waitFor();
      },
    },
    { name: 'chat-without-sim', show: () => alice.goto('/chat') },
    { name: 'settings-without-sim', show: () => alice.goto('/settings') },
    {
      name: 'not-found',
      show: async () => {
        alice.watch.expectStatus(404);
        await alice.page.goto('/nothing/here');
        await alice.ready();
      },
    },
    { name: 'letter', show: () => alice.goto('/letter') },
    {
      name: 'letter-error',
      show: async () => {
        await alice.button('Create link').click();
        await alice.alert.waitFor();
      },
    },
    {
      name: 'letter-link',
      show: async () => {
        link = await alice.writeLetter('Dear Bob,\n\nshall we go for a walk on Saturday? I found a path along the river.\n\nAlice');
      },
    },
    {
      name: 'withdraw',
      show: async () => {
        await alice.button('Withdraw link').click();
        await alice.page.getByRole('alertdialog').waitFor();
      },
    },
    {
      name: 'mangled-link',
      show: async () => {
        await escape();
        await alice.page.goto(link.slice(0, -5));
        await alice.ready();
        await alice.alert.waitFor();
      },
    },
    {
      name: 'opened-link-before',
      show: async () => {
        carols = await carol.writeLetter('Dear Alice,\n\nthank you for the book. When may I bring it back?\n\nYours,\nCarol');
        await alice.page.goto('about:blank');
        await alice.page.goto(carols);
        await alice.ready();
        await alice.button('Open').waitFor();
      },
    },
    { name: 'opened-letter', show: () => alice.openLink(carols) },
    {
      name: 'opened-too-late',
      show: async () => {
        const late = await carol.writeLetter('somebody else was first');
        await bob.openLink(late);
        alice.watch.expectStatus(409);
        await alice.page.goto('about:blank');
        await alice.pressOpen(late);
        await alice.alert.waitFor();
      },
    },
    {
      name: 'contact-link',
      show: async () => {
        await bob.createSim();
        const contact = await bob.shareContact();
        await alice.page.goto('about:blank');
        await alice.openLink(contact);
      },
    },
    {
      name: 'chat-with-waiting',
      show: async () => {
        await alice.goto('/chat');
        await expect(alice.page.getByRole('heading', { name: 'Letters to answer' })).toBeVisible();
      },
    },
    {
      name: 'share-contact',
      show: async () => {
        await alice.button('Share contact').click();
        await alice.shownLink();
      },
    },
    {
      name: 'conversation',
      show: async () => {
        await escape();
        await bob.openLink(link);
        await bob.reply('With pleasure! Ten o’clock at the bridge?');
        await alice.openConversation('Bob');
        await alice.say('Perfect. I bring tea, and something to eat for the ducks.');
        await bob.hears('Perfect. I bring tea, and something to eat for the ducks.');
        await bob.say('The ducks say thank you. 🦆');
        await alice.hears('The ducks say thank you. 🦆');
        await alice.say('See you on Saturday!');
        await alice.expectAllDelivered();
      },
    },
    {
      name: 'conversation-menu',
      show: async () => {
        await alice.page.getByLabel('Conversation menu', { exact: true }).click();
        await alice.button('Safety code').waitFor();
      },
    },
    {
      name: 'delete-conversation',
      show: async () => {
        await alice.button('Delete conversation').click();
        await alice.page.getByRole('alertdialog').waitFor();
      },
    },
    {
      name: 'safety-code',
      show: async () => {
        await escape();
        await alice.showSafetyCode();
      },
    },
    {
      name: 'settings',
      show: async () => {
        await escape();
        await alice.goto('/settings');
        await alice.button('Download SIM').waitFor();
      },
    },
    {
      name: 'block',
      show: async () => {
        await alice.button('Block Bob').click();
        await alice.page.getByRole('alertdialog').waitFor();
      },
    },
    {
      name: 'delete-everything',
      show: async () => {
        await escape();
        await alice.button('Delete everything in this browser').click();
        await alice.page.getByRole('alertdialog').waitFor();
      },
    },
    {
      name: 'another-device',
      show: async () => {
        await escape();
        await alice.textbox('Password for the other device').fill('a good password');
        await alice.button('Show code').click();
        await alice.page.getByRole('img', { name: 'SIM QR code', exact: true }).waitFor();
      },
    },
    { name: 'rooms', show: () => alice.goto('/rooms') },
    {
      name: 'rooms-error',
      show: async () => {
        await alice.page.getByRole('spinbutton', { name: 'Idle minutes', exact: true }).fill('0');
        await alice.button('Create room').click();
        await alice.alert.waitFor();
      },
    },
    {
      name: 'room-made',
      show: async () => {
        room = await a.make();
      },
    },
    { name: 'room-code', show: () => alice.goto('/r') },
    {
      name: 'room-code-error',
      show: async () => {
        await alice.textbox('Room code').fill('no code');
        await alice.button('Open room').click();
        await alice.alert.waitFor();
      },
    },
    {
      name: 'room-join',
      show: async () => {
        await a.open(room);
        await a.nameBox.waitFor();
      },
    },
    {
      name: 'room-empty',
      show: async () => {
        await alice.button('Join room').click();
        await alice.alert.waitFor();
        await a.join(room);
      },
    },
    {
      name: 'room',
      show: async () => {
        await b.join(room);
        await c.join(room, 'Alice');
        await a.say('Welcome! Who brings what on Saturday?');
        await b.say('I have tea.');
        await c.say('And I bring a cake, 🍰 large enough for all of us and for the ducks.');
        await alice.hears('And I bring a cake, 🍰 large enough for all of us and for the ducks.');
        await bob.button('Alice').click();
        await bob.button('Keep as contact').click();
        await alice.button('No, thank you').waitFor();
      },
    },
    {
      name: 'room-person',
      show: async () => {
        await alice.button('Bob').click();
        await alice.dialog.waitFor();
      },
    },
    {
      name: 'room-share',
      show: async () => {
        await escape();
        await alice.button('Share room').click();
        await alice.dialog.waitFor();
      },
    },
    {
      name: 'room-end',
      show: async () => {
        await escape();
        await alice.button('End for all').click();
        await alice.page.getByRole('alertdialog').waitFor();
      },
    },
    {
      name: 'room-over',
      show: async () => {
        await alice.confirm();
        await a.expectOver('This room has ended');
      },
    },
  ];
}
