import { defineConfig, devices } from '@playwright/test';
import { inChromium, inFirefox } from './support/browsers.js';

// Each of these is about another browser than its project's, or no test.
const ELSEWHERE = /(firefox|shots)\.spec/;

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
    launchOptions: inChromium,
  },
  projects: [
    { name: 'journeys', testIgnore: ELSEWHERE },
    {
      name: 'firefox',
      testMatch: /firefox\.spec/,
      // It takes no other's name. Pictures are made with an inline style, which the CSP rightly reports.
      use: { browserName: 'firefox', userAgent: undefined, screenshot: 'off', launchOptions: inFirefox },
    },
    // Looks at nothing: it makes the pictures of end2end/shots and docs/screenshot.png.
    { name: 'shots', testMatch: /shots\.spec/ },
  ],
});
