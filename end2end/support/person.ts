import { type BrowserContext, type Locator, type Page, expect } from '@playwright/test';
import type { Server } from './server.js';
import type { Watch } from './watch.js';

/** One message of a conversation, as its reader sees it. */
export interface Line {
  own: boolean;
  text: string;
}

export const mine = (text: string): Line => ({ own: true, text });
export const theirs = (text: string): Line => ({ own: false, text });

const escape = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/**
 * Somebody in front of a browser of their own: what they can do and what they see, by the roles
 * and names that assistive technology gets too.
 */
export class Person {
  constructor(
    readonly name: string,
    readonly server: Server,
    readonly context: BrowserContext,
    readonly watch: Watch,
    public page: Page,
  ) {}

  // Tabs and the network.

  /** Another tab of the same browser. */
  async newTab(): Promise<Person> {
    return new Person(this.name, this.server, this.context, this.watch, await this.context.newPage());
  }

  /** Another tab of the same browser, with the same page. */
  async secondTab(): Promise<Person> {
    const tab = await this.newTab();
    await tab.goto(this.page.url());
    return tab;
  }

  /** Closes every tab; nothing of this browser runs until [`reopen`]. */
  async closeTabs(): Promise<void> {
    await Promise.all(this.context.pages().map((page) => page.close()));
  }

  /** Opens a tab again after [`closeTabs`]. */
  async reopen(path = '/chat'): Promise<void> {
    this.page = await this.context.newPage();
    await this.goto(path);
  }

  async offline(): Promise<void> {
    this.watch.expectOutage();
    await this.context.setOffline(true);
  }

  async online(): Promise<void> {
    await this.context.setOffline(false);
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(new URL(path, this.server.url).href);
    await this.ready();
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await this.ready();
  }

  /** A click before hydration would be lost. */
  async ready(): Promise<void> {
    await expect(this.page.locator('html')).toHaveAttribute('data-hydrated', 'true');
  }

  /** What is on the clipboard, as somebody finds out who pastes it. */
  async pasted(): Promise<string> {
    const tab = await this.newTab();
    await tab.goto('/letter');
    await tab.textbox('Letter').press('ControlOrMeta+V');
    const text = await tab.textbox('Letter').inputValue();
    await tab.page.close();
    return text;
  }

  // What is on the page.

  button(name: string): Locator {
    return this.page.getByRole('button', { name, exact: true });
  }

  textbox(name: string): Locator {
    return this.page.getByRole('textbox', { name, exact: true });
  }

  get alert(): Locator {
    return this.page.getByRole('alert');
  }

  get dialog(): Locator {
    return this.page.getByRole('dialog');
  }

  get inviteLink(): Locator {
    return this.textbox('Invite link');
  }

  get qr(): Locator {
    return this.page.getByRole('img', { name: 'Invite QR code', exact: true });
  }

  get letter(): Locator {
    return this.page.getByRole('article', { name: 'Letter', exact: true });
  }

  get conversations(): Locator {
    return this.page.getByRole('navigation', { name: 'Conversations', exact: true }).getByRole('link');
  }

  get log(): Locator {
    return this.page.getByRole('log', { name: 'Messages', exact: true });
  }

  get messages(): Locator {
    return this.log.getByRole('article');
  }

  /** The messages with exactly this text. */
  message(text: string): Locator {
    return this.messages.filter({ hasText: new RegExp(`^\\s*${escape(text)}\\s*$`) });
  }

  /** The sign of the connection. */
  get connection(): Locator {
    return this.page.locator('[data-connection]');
  }

  /** Presses the button of the question that comes before something is destroyed. */
  async confirm(): Promise<void> {
    await this.page.getByRole('alertdialog').getByRole('button').first().click();
    await expect(this.page.getByRole('alertdialog')).toHaveCount(0);
  }

  // Letters and links.

  /** Writes a letter and gives the link that is shown. */
  async writeLetter(text: string): Promise<string> {
    await this.goto('/letter');
    await this.textbox('Letter').fill(text);
    await this.fillName();
    await this.button('Create link').click();
    return this.shownLink();
  }

  /** The link on the page or in the dialog, as soon as there is one. */
  async shownLink(): Promise<string> {
    await expect(this.inviteLink).toHaveValue(/\/i#./);
    return this.inviteLink.inputValue();
  }

  /** Opens a link and gets what is in it. */
  async openLink(link: string): Promise<void> {
    await this.pressOpen(link);
    await expect(this.letter.or(this.button('Add contact'))).toBeVisible();
  }

  /** Opens a link, whatever comes of it. */
  async pressOpen(link: string): Promise<void> {
    await this.page.goto(link);
    await this.ready();
    await this.button('Open').click();
  }

  /** Sees the letter on the page. */
  async reads(text: string): Promise<void> {
    await expect(this.letter).toContainText(text);
  }

  /** Answers the letter on the page, and is in the conversation then. */
  async reply(text: string): Promise<void> {
    await this.textbox('Reply').fill(text);
    await this.fillName();
    await this.button('Send reply').click();
    await this.inConversation();
    await expect(this.message(text)).toHaveAttribute('data-own', 'true');
  }

  /** Adds the contact on the page, and is in the conversation then. */
  async addContact(): Promise<void> {
    await this.fillName();
    await this.button('Add contact').click();
    await this.inConversation();
  }

  /** Gives the name where the page asks for it: it does until there is a SIM. */
  async fillName(): Promise<void> {
    const box = this.textbox('Your name');
    if (!(await box.isVisible())) return;
    // The page puts the SIM's name in as soon as it knows it, which may be between two steps of filling.
    await expect(async () => {
      await box.fill(this.name);
      expect(await box.inputValue()).toBe(this.name);
    }).toPass();
  }

  async inConversation(): Promise<void> {
    await expect(this.page).toHaveURL(/\/chat#./);
    await expect(this.log).toBeVisible();
  }

  /** Makes a link without a letter, and gives it. */
  async shareContact(): Promise<string> {
    await this.toChat();
    await this.button('Share contact').click();
    const link = await this.shownLink();
    await this.page.keyboard.press('Escape');
    await expect(this.dialog).toHaveCount(0);
    return link;
  }

  // Conversations.

  async toChat(): Promise<void> {
    if (new URL(this.page.url()).pathname !== '/chat') await this.goto('/chat');
  }

  async openConversation(name: string): Promise<void> {
    // A narrow window shows the list or a conversation, not both.
    if ((this.page.viewportSize()?.width ?? 0) < 800) await this.goto('/chat');
    else await this.toChat();
    await this.conversationWith(name).click();
    await this.inConversation();
    await expect(this.page.getByRole('heading', { name, exact: true })).toBeVisible();
  }

  conversationWith(name: string): Locator {
    return this.page
      .getByRole('navigation', { name: 'Conversations', exact: true })
      .getByRole('link', { name, exact: true });
  }

  /** An opened letter that waits for its answer, in the list of the chat. */
  waitingLetter(name: string): Locator {
    return this.page.locator('a[href^="/i#~"]').filter({ hasText: name });
  }

  /** Sends a message in the conversation on the page. */
  async say(text: string): Promise<void> {
    await this.textbox('Message').fill(text);
    await this.button('Send').click();
    await expect(this.message(text)).toHaveAttribute('data-own', 'true');
    await expect(this.textbox('Message')).toHaveValue('');
  }

  /** Writes to somebody whose mailbox goes away: what the server took a moment before stays sent. */
  async sayInVain(text: string): Promise<void> {
    let n = 0;
    await expect(async () => {
      n += 1;
      await this.say(`${text} ${n}`);
      await expect(this.message(`${text} ${n}`)).toHaveAttribute('data-state', 'failed', { timeout: 3_000 });
    }).toPass();
  }

  /** Sees a message of the other one in the conversation on the page. */
  async hears(text: string): Promise<void> {
    await expect(this.message(text)).toBeVisible();
    await expect(this.message(text)).not.toHaveAttribute('data-own', 'true');
  }

  async expectState(text: string, state: 'sending' | 'sent' | 'delivered' | 'failed'): Promise<void> {
    await expect(this.message(text)).toHaveAttribute('data-state', state);
  }

  /** Every own message has arrived. */
  async expectAllDelivered(): Promise<void> {
    await expect(this.log.locator('article[data-own="true"]:not([data-state="delivered"])')).toHaveCount(0);
  }

  /** The conversation on the page is exactly this: each message once, in this order. */
  async expectConversation(expected: Line[]): Promise<void> {
    await expect.poll(() => this.transcript()).toEqual(expected);
  }

  async transcript(): Promise<Line[]> {
    return this.messages.evaluateAll((elements) =>
      elements.map((element) => ({
        own: element.getAttribute('data-own') === 'true',
        text: element.textContent ?? '',
      })),
    );
  }

  /** The digits to compare with the other one. */
  async safetyCode(name: string): Promise<string> {
    await this.openConversation(name);
    await this.showSafetyCode();
    const code = await this.shownSafetyCode();
    await this.page.keyboard.press('Escape');
    await expect(this.dialog).toHaveCount(0);
    return code;
  }

  /** The digits in the dialog that is open. */
  async shownSafetyCode(): Promise<string> {
    await expect(this.dialog).toBeVisible();
    const code = (await this.dialog.innerText()).match(/(\d{5}\s+){11}\d{5}/)?.[0].replace(/\s/g, '');
    return code ?? 'none';
  }

  async showSafetyCode(): Promise<void> {
    await this.page.getByLabel('Conversation menu', { exact: true }).click();
    await this.button('Safety code').click();
    await expect(this.dialog).toBeVisible();
  }

  async block(name: string): Promise<void> {
    await this.goto('/settings');
    await this.button(`Block ${name}`).click();
    await this.confirm();
  }

  async deleteContact(name: string): Promise<void> {
    await this.goto('/settings');
    await this.button(`Delete ${name}`).click();
    await this.confirm();
  }

  /** The one link that waits to be opened, as the chat shows it again. */
  async pendingLink(): Promise<string> {
    await this.toChat();
    await this.button('Show link').click();
    const link = await this.shownLink();
    await this.page.keyboard.press('Escape');
    await expect(this.dialog).toHaveCount(0);
    return link;
  }

  // SIM.

  async createSim(password?: string): Promise<void> {
    await this.goto('/');
    await this.button('Create SIM').click();
    await expect(this.dialog).toBeVisible();
    await this.textbox('Your name').fill(this.name);
    if (password !== undefined) await this.textbox('Password (optional)').fill(password);
    await this.button('Create SIM').click();
    await expect(this.button('Download SIM')).toBeVisible();
    await this.button('Done').click();
    await expect(this.dialog).toHaveCount(0);
    await this.hasSim();
  }

  async hasSim(): Promise<void> {
    await this.toChat();
    await expect(this.button('Share contact')).toBeVisible();
  }

  /** The server has all that the SIM's file brings back. */
  async expectCopied(): Promise<void> {
    await this.goto('/settings');
    await expect(this.page.getByText('is up to date. Your SIM brings it back.')).toBeVisible();
  }

  /** Downloads the SIM file in the settings. */
  async exportSim(): Promise<string> {
    await this.goto('/settings');
    const download = this.page.waitForEvent('download');
    await this.button('Download SIM').click();
    return (await download).path();
  }

  /** Chooses a SIM file and presses Import, whatever comes of it. */
  async tryImport(file: string, password?: string): Promise<void> {
    await this.page.getByLabel('SIM file', { exact: true }).setInputFiles(file);
    if (password !== undefined) await this.textbox('Password (optional)').fill(password);
    await this.button('Import SIM').click();
  }

  async openImport(): Promise<void> {
    await this.goto('/');
    await this.button('Import SIM').click();
    await expect(this.dialog).toBeVisible();
  }

  async importSim(file: string, password?: string): Promise<void> {
    await this.openImport();
    await this.tryImport(file, password);
    await expect(this.dialog).toHaveCount(0);
    await this.hasSim();
  }
}
