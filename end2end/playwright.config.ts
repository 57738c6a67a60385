import { existsSync } from 'node:fs';
import { defineConfig, devices } from '@playwright/test';

// Debian's Chromium where there is one; elsewhere the one of `npx playwright install chromium`.
const chromium = process.env.RLY_TEST_CHROMIUM ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: './tests',
  outputDir: './test-results/files',
  globalSetup: './support/built.ts',
  fullyParallel: true,
  workers: 2,
  forbidOnly: true,
  // A test that passes only the second time is a failure.
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list'], ['json', { outputFile: './test-results/report.json' }]],
  use: {
    ...devices['Desktop Chrome'],
    locale: 'en-US',
    timezoneId: 'UTC',
    actionTimeout: 15_000,
    navigationTimeout: 15_000,
    screenshot: 'only-on-failure',
    launchOptions: {
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
    },
  },
  projects: [
    { name: 'journeys', testIgnore: /shots\.spec/ },
    // Looks at nothing: it makes the pictures of end2end/shots and docs/screenshot.png.
    { name: 'shots', testMatch: /shots\.spec/ },
  ],
});
