// Signs in by the one-time link, looks at the overview and at an alarm's and a run book's page, and says as JSON what
// was seen: texts, console errors, requests to other hosts. Takes pictures, light and dark, desk and phone.
//
// node overview.mjs SIGN_IN_ADDRESS WORD_TO_WAIT_FOR FOLDER_FOR_PICTURES
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [address, word, pictures] = process.argv.slice(2);
const own = new URL(address).host;
const seen = { errors: [], foreign: [], overview: '', alarm: '', runbook: '', status: {} };

const context = await chromium.launchPersistentContext(await mkdtemp(join(tmpdir(), 'watchbell-browser-')), {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
  viewport: { width: 1280, height: 900 },
});
context.on('request', (request) => {
  const url = new URL(request.url());
  if (url.host !== own && !['data:', 'about:', 'blob:'].includes(url.protocol)) seen.foreign.push(request.url());
});
const page = context.pages()[0] ?? await context.newPage();
page.on('console', (message) => { if (message.type() === 'error') seen.errors.push(message.text()); });
page.on('pageerror', (error) => seen.errors.push(String(error)));

const picture = (name) => page.screenshot({ path: join(pictures, `${name}.png`), fullPage: false });

await page.goto(address);
await picture('sign-in');
await page.locator('button[type=submit]').click();
await page.getByText(word).first().waitFor({ timeout: 30000 });
await page.waitForTimeout(500);
seen.overview = await page.locator('body').innerText();
await picture('overview-light');
await page.emulateMedia({ colorScheme: 'dark' });
await picture('overview-dark');
await page.setViewportSize({ width: 390, height: 844 });
await picture('overview-phone');
await page.emulateMedia({ colorScheme: 'light' });
await page.setViewportSize({ width: 1280, height: 900 });

const alarm = page.locator('a[href*="/alarms/"]').first();
if (await alarm.count()) {
  await alarm.click();
  await page.waitForTimeout(1500);
  seen.alarm = await page.locator('body').innerText();
  await picture('alarm-light');
  const runbook = page.locator('a[href*="/runbooks/"]').first();
  if (await runbook.count()) {
    await page.goto(new URL(await runbook.getAttribute('href'), `http://${own}`).href);
    seen.runbook = await page.locator('body').innerText();
    await picture('runbook-light');
  }
}
for (const path of ['/alarms', '/monitors', '/heartbeats', '/alerts', '/deliveries', '/runbooks']) {
  const answer = await page.goto(`http://${own}${path}`);
  await page.waitForTimeout(700);
  seen.status[path] = answer.status();
  await picture(path.slice(1));
}
await context.close();
console.log(JSON.stringify(seen));
