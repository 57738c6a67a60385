import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LaunchOptions } from '@playwright/test';

const chromium = process.env.RLY_TEST_CHROMIUM ?? '/usr/bin/chromium';

/** Debian's Chromium where there is one; elsewhere the one of `npx playwright install chromium`. */
export const inChromium: LaunchOptions = {
  ...(existsSync(chromium) ? { executablePath: chromium } : {}),
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

/**
 * Debian's Firefox, as people have it, not one that was changed to be driven: Playwright speaks WebDriver
 * BiDi with it. `firefox-bridge.mjs` starts the Firefox of RLY_TEST_FIREFOX.
 */
export const inFirefox: LaunchOptions = {
  channel: 'moz-firefox',
  executablePath: fileURLToPath(new URL('firefox-bridge.mjs', import.meta.url)),
};
