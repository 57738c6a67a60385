/**
 * Runs before `boot.js`, in pages and in workers: each step of storing, sending and asking is told to
 * [`Wire`] and waits for its answer, without letting anything else of that thread run.
 *
 * - `store X` before a transaction, `storing X` with all its requests made, `stored X` once it is
 *   on the disk and before anybody hears of it;
 * - `send N` before a frame of type N goes out, `sent N` after;
 * - `ask X` before a request, `answered X` with its answer here and before anybody hears of it.
 *
 * It becomes text and is run elsewhere, so nothing outside of it is at hand.
 */
export function announceSteps(): void {
  const step = (name: string) => {
    const request = new XMLHttpRequest();
    request.open('POST', `/~step?name=${encodeURIComponent(name)}`, false);
    try {
      request.send();
    } catch {
      // The test is over.
    }
  };

  const names = new WeakMap<IDBTransaction, string>();
  const begin = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    if (mode !== 'readwrite') return begin.call(this, stores, mode, options);
    const name = String(stores);
    step(`store ${name}`);
    const transaction = begin.call(this, stores, mode, options);
    names.set(transaction, name);
    // Before the product listens, so it is called before.
    transaction.addEventListener('complete', () => step(`stored ${name}`));
    return transaction;
  };
  const { get, set } = Object.getOwnPropertyDescriptor(IDBTransaction.prototype, 'oncomplete')!;
  Object.defineProperty(IDBTransaction.prototype, 'oncomplete', {
    configurable: true,
    get: get!,
    set(this: IDBTransaction, listener: unknown) {
      // The product listens once all its requests are made.
      step(`storing ${names.get(this)}`);
      set!.call(this, listener);
    },
  });

  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const type = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset)[1] : undefined;
    // A ping changes nothing anywhere.
    if (type === 0x0a) return send.call(this, data);
    step(`send ${type}`);
    send.call(this, data);
    step(`sent ${type}`);
  };

  const ask = globalThis.fetch;
  globalThis.fetch = async (resource, init) => {
    const { pathname } = new URL(resource instanceof Request ? resource.url : resource, location.origin);
    if (!pathname.startsWith('/api/')) return ask(resource, init);
    const name = pathname.slice('/api/'.length);
    step(`ask ${name}`);
    const answer = await ask(resource, init);
    step(`answered ${name}`);
    return answer;
  };
}
