/** What a mistyped command most likely meant, and the examples that the help shows. */
import { nearestWord } from '../config/suggestion.ts';

/** Words of other tools for what our commands do. */
const synonyms: Readonly<Record<string, string>> = {
  list: 'ls',
  images: 'ls',
  ps: 'ls',
  dir: 'ls',
  rm: 'evict',
  rmi: 'evict',
  del: 'evict',
  delete: 'evict',
  remove: 'evict',
  purge: 'evict',
  start: 'serve',
  run: 'serve',
  up: 'serve',
  daemon: 'serve',
  status: 'stats',
  info: 'stats',
  htop: 'top',
  watch: 'top',
  undo: 'restore',
  undelete: 'restore',
  rollback: 'restore',
  log: 'history',
  update: 'refresh',
  config: 'check',
  validate: 'check',
  verify: 'scrub',
  fsck: 'scrub',
  doctor: 'check',
  setup: 'client',
  configure: 'client',
  upload: 'push',
  copy: 'push',
  prefetch: 'warm',
  preload: 'warm',
  fetch: 'warm',
  pull: 'warm',
  version: '--version',
};

export function suggestCommand(word: string, commands: readonly string[]): string | undefined {
  const known = Object.hasOwn(synonyms, word) ? synonyms[word] : undefined;
  return known ?? nearestWord(word, commands);
}

const examples: Readonly<Record<string, readonly string[]>> = {
  cistern: [
    'cistern                          run the mirror with ./mirror.yml, or with all defaults',
    'cistern check                    is the configuration right, and what does it mean',
    'cistern client docker            what Docker needs to pull through this mirror',
    'cistern ls                       what is held',
    'cistern top                      what is going on',
  ],
  serve: [
    'cistern serve',
    'cistern serve --config /etc/cistern/mirror.yml',
    'CISTERN_HTTP_LISTEN=127.0.0.1:5000 cistern serve',
  ],
  check: ['cistern check', 'cistern check --upstreams', 'cistern check --config /etc/cistern/mirror.yml'],
  stats: ['cistern stats', 'cistern stats --watch', 'cistern stats --json'],
  top: ['cistern top', 'cistern top --once', 'cistern top --json | jq .daemon.downloads'],
  ls: [
    'cistern ls',
    'cistern ls busybox               all that is held of one repository',
    "cistern ls 'busybox:1.*'         some of its tags",
    "cistern ls 'ghcr.io/**'          all of one registry",
    'cistern ls --sort size',
  ],
  refresh: ['cistern refresh node:20', 'cistern refresh ghcr.io/owner/app:latest alpine'],
  evict: ['cistern evict node:20', 'cistern evict ghcr.io/owner/app@sha256:DIGEST'],
  pin: ['cistern pin busybox', 'cistern pin alpine:3.20 ghcr.io/owner/app:v1'],
  unpin: ['cistern unpin busybox'],
  export: [
    'cistern export alpine:3.20 ghcr.io/owner/app:v1 --output bundle.tar',
    'cistern export node:20 --platform linux/amd64 --platform linux/arm64 --output node.tar',
    'cistern export node:20 --have digests.txt --output - | ssh ship cistern import -',
  ],
  digests: ['cistern digests > digests.txt       for export --have on the other side'],
  report: [
    'cistern report                       the last 30 days',
    'cistern report --since 7d --price 0.09',
    'cistern report --since 2026-11-01 --json',
  ],
  warm: [
    'cistern warm alpine:3.20 ghcr.io/owner/app:v1',
    'cistern warm --file images.txt --platform linux/amd64 --platform linux/arm64',
    'cistern warm --from-docker                        all that the Docker of this machine has',
    'cistern warm --from-containerd                    the same of containerd',
    'helm template chart | cistern warm --kubernetes -',
    'cistern warm --compose compose.yml',
  ],
  import: [
    'cistern import bundle.tar           what cistern export, skopeo or docker save wrote',
    'ssh shore cistern export alpine --output - | cistern import -',
    'cistern import --from /var/lib/registry',
    'cistern import --from /var/lib/registry --into old --from-url http://registry.lan:5000',
  ],
  push: [
    'cistern push app.tar registry.lan:5000/team/app:1       what docker save wrote',
    'cistern push ./layout registry.lan:5000/team/app:1      an OCI layout',
    'cistern push ./models registry.lan:5000/team/models:3   any folder, as an artifact',
    'cistern push app.tar registry.lan/team/app:1 --chunk 10MB --username jo --password-stdin < password',
  ],
  history: ['cistern history team/app:v1', 'cistern history busybox'],
  restore: [
    'cistern restore team/app:v1                       what it was before its last move',
    'cistern restore team/app:v1 --at 2026-11-27T10:00 what it was then',
    'cistern restore team/app:v1 @sha256:DIGEST        to that manifest',
    'cistern restore team/app@sha256:DIGEST            a deleted manifest, with its tags',
  ],
  promote: [
    'cistern promote alpine:3.20 team/alpine:3.20',
    'cistern promote ghcr.io/owner/app:v1 team/app:v1 --platform linux/amd64 linux/arm64',
  ],
  retention: ['cistern retention --explain'],
  user: [
    'cistern user add jo',
    'cistern user add jo --password-stdin < password',
    'cistern user list',
    'cistern user remove jo',
  ],
  repair: ['cistern repair', 'cistern repair team/app'],
  notifications: ['cistern notifications replay ci.lan'],
  gc: ['cistern gc --dry-run             what would go, and why', 'cistern gc'],
  scrub: ['cistern scrub                    at the rate of store.scrub.rate', 'cistern scrub --rate 50MiB/s'],
  'read-only': ["cistern read-only on --message 'a backup runs, try again at six'", 'cistern read-only off'],
  client: [
    'cistern client docker',
    'cistern client containerd --default --write /',
    'cistern client podman --url http://mirror.lan:5000',
    'cistern client helm',
  ],
  completion: [
    'source <(cistern completion bash)                         in ~/.bashrc',
    'source <(cistern completion zsh)                          in ~/.zshrc, after compinit',
    'cistern completion fish > ~/.config/fish/completions/cistern.fish',
  ],
};

/** For the end of a help text. */
export function formatExamples(command: string): string {
  const lines = (Object.hasOwn(examples, command) ? examples[command] : undefined) ?? [];
  return lines.length === 0 ? '' : `\nExamples:\n${lines.map(line => `  ${line}\n`).join('')}`.trimEnd();
}
