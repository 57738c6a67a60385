import { type Locator, expect } from '@playwright/test';
import type { Line, Person } from './person.js';

/** What a room is made with; what is left out is as the page proposes. */
export interface Bounds {
  preset?: 'Room' | 'Two-person session';
  idleMinutes?: number;
  hours?: number;
  people?: number;
  history?: number;
}

/** A person in a room, or on the way into one: what they can do there and what they see. */
export class Guest {
  constructor(readonly person: Person) {}

  get people(): Locator {
    return this.person.page.getByRole('list', { name: 'People here', exact: true }).getByRole('listitem');
  }

  get closes(): Locator {
    return this.person.page.getByRole('timer', { name: 'Room closes', exact: true });
  }

  get nameBox(): Locator {
    return this.person.textbox('Name in this room');
  }

  /** Makes a room, and gives its link. */
  async make(bounds: Bounds = {}): Promise<string> {
    const { page } = this.person;
    await this.person.goto('/rooms');
    if (bounds.preset) await page.getByRole('radio', { name: bounds.preset, exact: true }).check();
    const fields = {
      'Idle minutes': bounds.idleMinutes,
      'Hours at most': bounds.hours,
      'People at most': bounds.people,
      'Messages kept': bounds.history,
    };
    for (const [name, value] of Object.entries(fields)) {
      if (value !== undefined) await page.getByRole('spinbutton', { name, exact: true }).fill(String(value));
    }
    await this.person.button('Create room').click();
    const link = this.person.textbox('Room link');
    await expect(link).toHaveValue(/\/r#[a-z2-7]{26}$/);
    return link.inputValue();
  }

  /** Opens a room's link, whatever comes of it. */
  async open(link: string): Promise<void> {
    // Another fragment alone would load nothing.
    if (this.person.page.url().split('#')[0] === link.split('#')[0]) await this.person.page.goto('about:blank');
    await this.person.page.goto(link);
    await this.person.ready();
  }

  /** Opens a link and joins, whatever comes of it. */
  async tryJoin(link: string, name = this.person.name): Promise<void> {
    await this.open(link);
    await this.nameBox.fill(name);
    await this.person.button('Join room').click();
  }

  async join(link: string, name = this.person.name): Promise<void> {
    await this.tryJoin(link, name);
    await this.isInside();
  }

  async isInside(): Promise<void> {
    await expect(this.person.log).toBeVisible();
    await expect(this.person.connection).toHaveAttribute('data-connection', 'online');
  }

  /** Who is here is exactly this. */
  async expectPeople(...names: string[]): Promise<void> {
    const seen = async () => {
      const texts = await this.people.allInnerTexts();
      return texts.map((text) => text.replace(/\(you\)/, '').replace(/\s+/g, ' ').trim()).sort();
    };
    await expect.poll(seen).toEqual([...names].sort());
  }

  async say(text: string): Promise<void> {
    await this.person.say(text);
  }

  /** The talk is exactly this. */
  async expectTalk(lines: Line[]): Promise<void> {
    await expect.poll(() => this.person.transcript()).toEqual(lines);
  }

  /** The room is gone, and nothing of it can be seen. */
  async expectOver(title: string): Promise<void> {
    await expect(this.person.page.getByRole('heading', { name: title, exact: true })).toBeVisible();
    await expect(this.person.log).toHaveCount(0);
  }

  /** Rows and keys that this browser keeps of rooms. */
  async kept(): Promise<number> {
    return this.person.page.evaluate(async () => {
      const open = indexedDB.open('rly-rooms');
      const db = await new Promise<IDBDatabase>((resolve, reject) => {
        open.onsuccess = () => resolve(open.result);
        open.onerror = () => reject(open.error);
      });
      const count = (store: string) =>
        new Promise<number>((resolve) => {
          const asked = db.transaction(store).objectStore(store).count();
          asked.onsuccess = () => resolve(asked.result);
        });
      // One key is the one that seals rows.
      const kept = (await count('rows')) + (await count('keys')) - 1;
      db.close();
      return kept;
    });
  }
}
