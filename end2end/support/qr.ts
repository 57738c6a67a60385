import type { Locator } from '@playwright/test';
import jsQR from 'jsqr';
import { PNG } from 'pngjs';

/** What a phone's camera would read from a QR code on the screen. */
export async function readQr(image: Locator): Promise<string | undefined> {
  const { data, width, height } = PNG.sync.read(await image.screenshot({ animations: 'disabled' }));
  const read = jsQR as unknown as typeof jsQR.default;
  return read(new Uint8ClampedArray(data), width, height)?.data;
}
