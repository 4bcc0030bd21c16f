// Node: `lookup` (getaddrinfo), `resolve` (c-ares, A and AAAA) or `any` (c-ares, ANY):
// "name address" or "name code" a line; for ANY the number of records that it understood.
const dns = require('node:dns').promises;

const [way, ...names] = process.argv.slice(2);
const ways = {
  lookup: [async (name) => (await dns.lookup(name, { all: true })).map(({ address }) => address)],
  resolve: [(name) => dns.resolve4(name), (name) => dns.resolve6(name)],
  any: [async (name) => [`${(await dns.resolveAny(name)).length} records`]],
};

(async () => {
  for (const name of names) {
    // Both families at once, as programs ask for them.
    const answers = await Promise.all(ways[way].map((ask) => ask(name).catch((error) => [error.code])));
    answers.flat().forEach((answer) => console.log(name, answer));
  }
})();
