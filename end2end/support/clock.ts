import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A clock for a server, which goes ahead when a test says so: see clock.c. */
export class MovedClock {
  readonly #library: string;
  readonly #ahead: string;

  /** `place` tells paths of files that nobody else uses. */
  constructor(place: (name: string) => string) {
    this.#library = place('clock.so');
    this.#ahead = place('ahead');
    const source = fileURLToPath(new URL('clock.c', import.meta.url));
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', this.#library, source]);
    writeFileSync(this.#ahead, '0');
  }

  /** What a server has to be started with. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, CLOCK_AHEAD: this.#ahead };
  }

  /** From now on it is so many seconds later than it is. */
  goAhead(seconds: number): void {
    writeFileSync(this.#ahead, String(seconds));
  }
}
