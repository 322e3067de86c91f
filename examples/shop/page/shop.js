// The page of the shop: asks the JSON of the same server, and shows it.

const $ = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const filters = $("filters");
const products = new Map(); // by number, as last shown
let asked = null; // the search under way
let next = null; // the cursor of the next page
let shown = null; // the product in the dialog

const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return Object.assign(made, attributes);
};

async function ask(path, options = {}) {
  const began = performance.now();
  const reply = await fetch(path, {
    ...options,
    headers: options.body ? { "Content-Type": "application/json" } : {},
  });
  const server = /dur=([\d.]+)/.exec(reply.headers.get("Server-Timing") ?? "");
  const body = reply.status === 204 ? null : await reply.json();
  if (!reply.ok) {
    throw new Error(typeof body.detail === "string" ? body.detail : "That cannot be right: please check what you typed.");
  }
  return { body, took: server ? Number(server[1]) : performance.now() - began };
}
const send = (method, path, body) => ask(path, { method, body: JSON.stringify(body) });

// Searching

function wanted() {
  const asked = new URLSearchParams();
  for (const [name, value] of [...new FormData($("search")), ...new FormData(filters)]) {
    if (value !== "" && !(name === "order" && value === "name")) asked.append(name, value);
  }
  return asked;
}

async function search({ more = false } = {}) {
  asked?.abort();
  const here = (asked = new AbortController());
  const words = wanted();
  history.replaceState(null, "", words.size ? `?${words}` : location.pathname);
  if (more && next) words.set("after", next);
  try {
    const { body, took } = await ask(`api/products?${words}`, { signal: here.signal });
    show(body, took, more);
  } catch (error) {
    if (error.name !== "AbortError") $("status").textContent = error.message;
  }
}

function show(found, took, more) {
  const cards = found.items.map((product) => {
    products.set(product.sku, product);
    return card(product);
  });
  if (more) $("products").append(...cards);
  else $("products").replaceChildren(...cards);
  next = found.next;
  $("more").hidden = !next;
  $("status").textContent = `${found.total} ${found.total === 1 ? "product" : "products"}, found in ${took.toFixed(1)} ms`;
  choices($("categories"), "category", "radio", found.categories, true);
  choices($("tags"), "tags", "checkbox", found.tags);
  if (more) cards[0]?.querySelector(".open").focus();
}

function card(product) {
  const made = $("card").content.cloneNode(true).firstElementChild;
  made.dataset.sku = product.sku;
  made.querySelector(".picture").classList.add(product.category);
  made.querySelector(".open").textContent = product.name;
  made.querySelector(".facts").textContent = [product.category, ...[...product.tags].sort()].join(" · ");
  made.querySelector(".price").textContent = money.format(product.price);
  const stock = made.querySelector(".stock");
  stock.textContent = product.stock ? `${product.stock} in stock` : "Sold out";
  stock.classList.toggle("few", product.stock < 10);
  const add = made.querySelector(".add");
  add.disabled = !product.stock;
  add.setAttribute("aria-label", `Add ${product.name} to the cart`);
  return made;
}

// Keeps what is chosen, and the focus, whatever the new counts are.
function choices(place, name, type, counts, all = false) {
  const chosen = new Set(new FormData(filters).getAll(name));
  const focused = place.contains(document.activeElement) ? document.activeElement.value : null;
  const values = [...new Set([...Object.keys(counts), ...chosen])].filter(Boolean).sort();
  const entries = values.map((value) => [value, value, counts[value] ?? 0]);
  if (all) entries.unshift(["", "all", Object.values(counts).reduce((sum, n) => sum + n, 0)]);
  place.replaceChildren(
    ...entries.map(([value, text, count]) => {
      const label = element("label");
      const checked = value ? chosen.has(value) : ![...chosen].some(Boolean);
      label.append(element("input", undefined, { type, name, value, checked }), text, element("span", count));
      return label;
    }),
  );
  if (focused !== null) [...place.querySelectorAll("input")].find((input) => input.value === focused)?.focus();
}

let typing;
$("search").addEventListener("submit", (event) => event.preventDefault());
$("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
});
for (const place of [filters, $("order")]) place.addEventListener("change", () => search());
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => {
  $("text").value = "";
  for (const input of filters.querySelectorAll(".choices input")) input.defaultChecked = false;
  setTimeout(search);
});
$("more").addEventListener("click", () => search({ more: true }));
$("products").addEventListener("click", ({ target }) => {
  const sku = target.closest(".card")?.dataset.sku;
  if (target.matches(".add")) put(sku, (had) => had + 1);
  else if (target.matches(".open")) open(sku);
});

// A product

async function open(sku) {
  try {
    const { body, took } = await ask(`api/products/${encodeURIComponent(sku)}`);
    shown = body;
    $("dialog-origin").textContent = `${body.category} · ${body.origin}`;
    $("dialog-name").textContent = body.name;
    $("dialog-text").textContent = body.description;
    $("dialog-price").textContent = money.format(body.price);
    $("dialog-took").textContent = `Answered in ${took.toFixed(1)} ms`;
    $("new-price").value = body.price;
    if (!$("dialog").open) $("dialog").showModal();
    showCart();
  } catch (error) {
    news(error.message, true);
  }
}
$("dialog-add").addEventListener("click", () => {
  $("dialog").close();
  put(shown.sku, (had) => had + 1);
});
for (const form of [$("reprice"), $("restock")]) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send("PATCH", `api/products/${encodeURIComponent(shown.sku)}`, Object.fromEntries(new FormData(form)));
      await open(shown.sku);
      await search();
    } catch (error) {
      $("dialog-took").textContent = error.message;
    }
  });
}

// The cart

let lines = [];
const quantity = (sku) => lines.find((line) => line.sku === sku)?.quantity ?? 0;

function news(text, bad = false) {
  $("news").textContent = text;
  $("news").classList.toggle("bad", bad);
}

async function showCart(given) {
  const cart = given ?? (await ask("api/cart")).body;
  lines = cart.lines;
  const focused = $("lines").contains(document.activeElement) ? document.activeElement.name : null;
  $("lines").replaceChildren(...lines.map(line));
  if (focused) $("lines").querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  $("empty").hidden = lines.length > 0;
  $("sum").hidden = $("buy").hidden = lines.length === 0;
  $("total").textContent = money.format(cart.total);
  $("count").textContent = lines.reduce((sum, each) => sum + each.quantity, 0);
  $("seen").hidden = cart.viewed.length === 0;
  $("viewed").replaceChildren(
    ...cart.viewed.map((product) => {
      const item = element("li");
      item.append(element("button", product.name, { type: "button", onclick: () => open(product.sku) }));
      return item;
    }),
  );
}

function line(each) {
  const item = element("li");
  const number = element("input", undefined, { type: "number", min: 0, max: 99, value: each.quantity, name: each.sku });
  number.setAttribute("aria-label", `Pieces of ${each.name}`);
  number.addEventListener("change", () => {
    const pieces = Math.max(0, Math.floor(number.value || 0));
    put(each.sku, () => pieces);
  });
  const remove = element("button", "Remove", { type: "button", className: "quiet", onclick: () => put(each.sku, () => 0) });
  remove.setAttribute("aria-label", `Remove ${each.name}`);
  item.append(
    element("span", each.name, { className: "name" }),
    number,
    element("span", money.format(each.total), { className: "price" }),
    remove,
  );
  return item;
}

// One change after the other, each from what the one before has left: `wanted` makes of so many pieces so many.
let changes = Promise.resolve();
function put(sku, wanted) {
  changes = changes.then(() => change(sku, wanted(quantity(sku))));
}

async function change(sku, pieces) {
  const name = products.get(sku)?.name ?? sku;
  try {
    await showCart((await send("PUT", `api/cart/${encodeURIComponent(sku)}`, { quantity: pieces })).body);
    news(pieces ? `${name}: ${pieces} in your cart` : `${name} taken out`);
  } catch (error) {
    news(error.message, true);
  }
}

$("buy").addEventListener("click", async () => {
  $("buy").disabled = true;
  try {
    const { body } = await send("POST", "api/orders");
    news(`Thank you! ${money.format(body.total)} paid.`);
    $("cart").focus();
    await Promise.all([showCart(), search(), showFigures()]);
  } catch (error) {
    news(error.message, true);
  } finally {
    $("buy").disabled = false;
  }
});

// Figures

const bytes = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(0)} kB` : `${(n / 1e6).toFixed(1)} MB`);

async function showFigures() {
  const { body } = await ask("api/figures");
  const rows = [
    ["Visitors now", body.visitors],
    ["Orders", body.orders],
    ["Pieces in stock", body.pieces],
    ["Calls to the primary database", body.primary_calls],
  ];
  if (body.memory_used !== null) rows.push(["Memory of Redis", bytes(body.memory_used)]);
  for (const [model, size] of Object.entries(body.bytes_by_model ?? {})) rows.push([`of which ${model}`, bytes(size)]);
  $("figures").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  $("caches").replaceChildren(...Object.entries(body.caches).map(cache));
  $("best").replaceChildren(
    ...(body.bestsellers.length ? body.bestsellers : [{ name: "nothing sold yet", sold: "" }]).map((each) => {
      const item = element("li");
      item.append(element("span", each.name), element("strong", each.sold));
      return item;
    }),
  );
}

function cache([name, stats]) {
  const made = element("div");
  const row = element("div", undefined, { className: "row" });
  row.append(element("span", `Cache of ${name}`), element("strong", `${Math.round(stats.hit_rate * 100)} % hits`));
  const meter = element("progress", undefined, { max: 1, value: stats.hit_rate });
  meter.setAttribute("aria-label", `Share of hits of the cache of ${name}`);
  made.append(row, meter, element("p", `${stats.hits} hits, ${stats.loads} loads of ${(stats.mean_load * 1000).toFixed(0)} ms`, { className: "note" }));
  return made;
}

async function live() {
  if (!document.hidden) await showFigures().catch(() => {});
  setTimeout(live, 2000);
}

// Begin with what the address says.
$("narrow").open = !matchMedia("(max-width: 48rem)").matches;
const given = new URLSearchParams(location.search);
$("text").value = given.get("text") ?? "";
for (const name of ["low", "high", "order"]) if (given.has(name)) filters.elements[name].value = given.get(name);
filters.elements.available.checked = given.has("available");
choices($("categories"), "category", "radio", Object.fromEntries(given.getAll("category").map((name) => [name, 0])), true);
choices($("tags"), "tags", "checkbox", Object.fromEntries(given.getAll("tags").map((name) => [name, 0])));
for (const name of ["category", "tags"]) {
  for (const input of filters.querySelectorAll(`[name=${name}]`)) {
    input.checked = given.getAll(name).includes(input.value) || (input.value === "" && !given.has(name));
  }
}
search();
showCart();
live();
