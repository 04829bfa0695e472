// A provider of OpenID Connect on loopback: node provider.mjs PORT CLIENT SECRET REDIRECT_URI
import Provider from 'oidc-provider';

const [port, client, secret, redirect] = process.argv.slice(2);
const groups = { bob: ['managers', 'staff'], root: ['managers'] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: client,
      client_secret: secret,
      redirect_uris: [redirect],
      post_logout_redirect_uris: [new URL('/', redirect).href],
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  conformIdTokenClaims: false, // the claims of a scope are in the ID token, as with most providers
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] }),
  }),
});
provider.listen(Number(port), '127.0.0.1');
