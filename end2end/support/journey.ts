import { type Line, mine, theirs } from './person.js';

/** Somebody who writes letters, whatever browser they have and however it is driven. */
export interface Correspondent {
  readonly name: string;
  writeLetter(text: string): Promise<string>;
  openLink(link: string): Promise<void>;
  reads(text: string): Promise<void>;
  reply(text: string): Promise<void>;
  openConversation(name: string): Promise<void>;
  say(text: string): Promise<void>;
  hears(text: string): Promise<void>;
  expectConversation(lines: Line[]): Promise<void>;
  expectAllDelivered(): Promise<void>;
  reload(): Promise<void>;
  secondTab(): Promise<Correspondent>;
}

/** From a letter to a conversation, reloaded on the way, and at last with a second tab. */
export async function correspond(alice: Correspondent, bob: Correspondent): Promise<void> {
  const link = await alice.writeLetter('Dear Bob, do you get this?');
  await bob.openLink(link);
  await bob.reads('Dear Bob, do you get this?');
  await bob.reload();
  await bob.reads('Dear Bob, do you get this?');
  await bob.reply('Dear Alice, I do.');
  await alice.openConversation(bob.name);
  await alice.hears('Dear Alice, I do.');

  const talk = [mine('Dear Bob, do you get this?'), theirs('Dear Alice, I do.')];
  const turned = () => talk.map(({ own, text }) => ({ own: !own, text }));
  for (const n of [1, 2, 3]) {
    await alice.say(`question ${n} of Alice`);
    await bob.hears(`question ${n} of Alice`);
    await bob.say(`answer ${n} of Bob`);
    await alice.hears(`answer ${n} of Bob`);
    talk.push(mine(`question ${n} of Alice`), theirs(`answer ${n} of Bob`));
  }
  await alice.expectConversation(talk);
  await bob.expectConversation(turned());

  await alice.reload();
  await bob.reload();
  await alice.say('after the reload');
  await bob.hears('after the reload');
  await bob.say('here too');
  await alice.hears('here too');
  talk.push(mine('after the reload'), theirs('here too'));

  const second = await bob.secondTab();
  await second.expectConversation(turned());
  await second.say('from a second tab');
  await bob.say('from the first tab');
  await alice.hears('from a second tab');
  await alice.hears('from the first tab');
  await alice.say('to both tabs');
  await second.hears('to both tabs');
  await bob.hears('to both tabs');
  talk.push(theirs('from a second tab'), theirs('from the first tab'), mine('to both tabs'));
  for (const person of [alice, bob, second]) await person.expectAllDelivered();
  await alice.expectConversation(talk);
  await bob.expectConversation(turned());
  await second.expectConversation(turned());
}
