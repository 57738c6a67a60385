// Starts what it runs in. In a page: sets the look and the Trusted Types policy, loads the page's
// wasm and hydrates. In a worker: loads the messenger, or the rooms, that the page names in the fragment.

const FAILED =
  "Rly Chat could not be loaded. Check your connection and load this page again.";
const TOO_OLD =
  "This browser is too old for Rly Chat, or WebAssembly is switched off in it.";

/** Structure only: nothing here runs script, loads a document or swallows the markup after it. */
const TAGS = new Set(
  `a abbr article aside b blockquote br button caption code col colgroup dd details dialog div dl dt
   em fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr i img input kbd label legend
   li main mark menu meter nav ol optgroup option output p pre progress q s samp search section select
   small span strong sub summary sup table tbody td textarea tfoot th thead time tr u ul var wbr
   circle ellipse g line path polygon polyline rect svg`.split(/\s+/),
);
const LINKS = new Set(["href", "src", "poster", "cite"]);
const REFUSED = new Set([
  "action",
  "formaction",
  "srcdoc",
  "srcset",
  "style",
  "ping",
  "xlink:href",
]);
const NAME = "[a-zA-Z][a-zA-Z0-9:-]*";
// HTML's white space. For JavaScript's \s there is more, which browsers take for a part of a name.
const SPACE = "[ \\t\\n\\f\\r]";
const ATTRIBUTE = `${SPACE}+(${NAME})(?:="([^"<>]*)")?`;
// The comments are those that Leptos writes. Others can end where a browser and we disagree.
const TOKEN = new RegExp(
  `[^<]+|<!>|<!--[^<>-]*-->|<(/?)(${NAME})((?:${ATTRIBUTE})*)${SPACE}*/?>`,
  "y",
);

/** Whether a browser finds nothing but plain structure in this markup. */
export function isPlain(html) {
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < html.length) {
    const token = TOKEN.exec(html);
    if (!token) return false;
    const [, , tag, attributes] = token;
    if (tag === undefined) continue;
    if (!TAGS.has(tag.toLowerCase())) return false;
    for (const [, written, value = ""] of attributes.matchAll(
      new RegExp(ATTRIBUTE, "g"),
    )) {
      const name = written.toLowerCase();
      if (name.startsWith("on") || REFUSED.has(name)) return false;
      // The first character decides: an address that starts like this has no scheme that runs.
      if (LINKS.has(name) && !/^(?:[#/?.]|https:|$)/.test(value)) return false;
    }
  }
  return true;
}

function startWorker() {
  // A rejection stays in the worker; an error reaches the page, which then starts a fresh worker.
  self.addEventListener("unhandledrejection", (event) => {
    setTimeout(() => {
      throw event.reason;
    });
  });
  const names = new URLSearchParams(self.location.hash.slice(1));
  load(names.get("glue"), names.get("wasm")).then(
    (worker) => worker.start(),
    // No fault of ours and nothing to report: the server is out of reach, and the page tries again. Or
    // it has a newer version, and these files no more.
    async () => {
      const gone = await Promise.all([isGone(names.get("glue")), isGone(names.get("wasm"))]);
      self.postMessage(gone.includes(true) ? "outdated" : "not loaded");
    },
  );
}

function isGone(file) {
  return fetch(file, { method: "HEAD", cache: "no-store" }).then(
    (answer) => answer.status === 404,
    () => false,
  );
}

function startPage() {
  const root = document.documentElement;
  applyTheme(root);
  if (typeof WebAssembly !== "object") return tell(TOO_OLD);

  const { app, appWasm, worker, workerWasm, rooms, roomsWasm } = root.dataset;
  // Only pages of rooms have two workers.
  const workers = [{ glue: worker, wasm: workerWasm }];
  if (rooms) workers.push({ glue: rooms, wasm: roomsWasm });
  const urls = workers.map((names) => `${import.meta.url}#${new URLSearchParams(names)}`);
  limitMarkup(urls);
  emptyTables();
  load(app, appWasm)
    .then(nextTurn)
    .then((page) => page.hydrate(...urls))
    .catch((error) => {
      console.error(error);
      tell(FAILED);
    });
}

async function load(glue, wasm) {
  const module = await import(glue);
  await module.default({ module_or_path: wasm });
  return module;
}

/** Making the module and bringing the page to life are long tasks, each by itself. */
function nextTurn(page) {
  return new Promise((resolve) => setTimeout(resolve, 0, page));
}

/** The look that was chosen in the settings, before the first hydrated paint. */
function applyTheme(root) {
  try {
    const theme = localStorage.getItem("rly-look");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage is refused: the system's look it is.
  }
}

function limitMarkup(workerUrls) {
  globalThis.trustedTypes?.createPolicy("default", {
    createHTML(html) {
      if (isPlain(html)) return html;
      throw new TypeError("This markup is more than structure.");
    },
    createScriptURL(url) {
      if (workerUrls.includes(url)) return url;
      throw new TypeError("This is not a worker's script.");
    },
    createScript() {
      throw new TypeError("Text is never run as script here.");
    },
  });
}

/** What the inline scripts would have set that the server leaves out: no page has resources. */
function emptyTables() {
  for (const name of [
    "__RESOLVED_RESOURCES",
    "__SERIALIZED_ERRORS",
    "__PENDING_RESOURCES",
    "__RESOURCE_RESOLVERS",
    "__INCOMPLETE_CHUNKS",
  ]) {
    globalThis[name] ??= [];
  }
}

function tell(text) {
  const alert = document.createElement("p");
  alert.setAttribute("role", "alert");
  alert.className = "alert";
  alert.textContent = text;
  document.body.prepend(alert);
}

if (typeof document === "object") startPage();
else if (typeof self === "object") startWorker();
