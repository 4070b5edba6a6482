/**
 * The text of `/setup/docker.sh`. All of it is one function that is called in the last line, so that half a download does nothing. It merges
 * its entries into daemon.json with python3 or jq, notes what it added beside it, and takes back just that with `--undo`.
 */

export interface DockerScriptOptions {
  /** Neither path nor trailing slash. */
  readonly url: string;
  /** As it stands in image names, with the port. */
  readonly host: string;
  readonly isPlainHttp: boolean;
  readonly mirrorsHub: boolean;
  /** PEM text that clients have to trust. */
  readonly authority: string | undefined;
}

/** Errors: RangeError for a text that can't be quoted. */
export function dockerScript({ url, host, isPlainHttp, mirrorsHub, authority }: DockerScriptOptions): string {
  const isInsecure = isPlainHttp && !/^(?:127\.|localhost:)/.test(host);
  return `#!/bin/sh
# Makes dockerd on this machine pull through ${url}. Read it first; then, as root:
#   curl -fsS ${url}/setup/docker.sh | sh                      adds the entries to daemon.json
#   curl -fsS ${url}/setup/docker.sh | sh -s -- --restart      and restarts dockerd
#   curl -fsS ${url}/setup/docker.sh | sh -s -- --undo         takes them back
set -eu

main() {
  mirror=${quote(mirrorsHub ? url : '')}
  insecure=${quote(isInsecure ? host : '')}
  host=${quote(host)}
  authority=${quote(authority?.trim() ?? '')}
  file=\${CISTERN_DAEMON_JSON:-/etc/docker/daemon.json}
  certs=\${CISTERN_DOCKER_CERTS:-/etc/docker/certs.d}
  noted=$file.cistern
  action=add
  restart=no
  for argument in "$@"; do
    case $argument in
      --undo) action=undo ;;
      --restart) restart=yes ;;
      *) echo "unknown argument: $argument (known: --undo, --restart)" >&2; exit 2 ;;
    esac
  done

  changed=no
  trust
  if [ -n "$mirror$insecure" ] || [ "$action" = undo ]; then merge; fi
  if [ "$changed" = no ]; then
    echo "nothing to do"
  elif [ "$restart" = yes ]; then
    systemctl restart docker
    echo "dockerd was restarted"
  else
    echo "dockerd has to be restarted: systemctl restart docker"
  fi
}

# The certificate of the mirror's own authority, which dockerd reads at each pull.
trust() {
  [ -n "$authority" ] || return 0
  certificate=$certs/$host/ca.crt
  if [ "$action" = undo ]; then
    if [ -e "$certificate" ] && [ "$(cat "$certificate")" = "$authority" ]; then
      rm -f "$certificate"
      rmdir "$certs/$host" 2>/dev/null || true
      echo "removed $certificate"
    fi
  elif [ ! -e "$certificate" ] || [ "$(cat "$certificate")" != "$authority" ]; then
    mkdir -p "$certs/$host"
    printf '%s\\n' "$authority" > "$certificate"
    echo "wrote $certificate"
  fi
}

merge() {
  [ "$action" = add ] || [ -e "$noted" ] || return 0
  if command -v python3 >/dev/null 2>&1; then tool=python3
  elif command -v jq >/dev/null 2>&1; then tool=jq
  else
    echo "neither python3 nor jq is here, so $file was not changed. What belongs into it, or out of it with --undo:" >&2
    if [ -n "$mirror" ]; then echo "  \\"registry-mirrors\\": [\\"$mirror\\"]" >&2; fi
    if [ -n "$insecure" ]; then echo "  \\"insecure-registries\\": [\\"$insecure\\"]" >&2; fi
    exit 1
  fi
  old='{}'
  if [ -s "$file" ]; then old=$(cat "$file"); fi
  if [ "$action" = undo ]; then notes=$(cat "$noted"); else notes=$(notes_of "$old"); fi
  [ -n "$notes" ] || return 0
  new=$(edit "$old") || { echo "$file is not a JSON object, so it was not changed" >&2; exit 1; }
  if [ "$action" = undo ] && [ "$new" = '{}' ]; then
    rm -f "$file" "$noted"
    echo "removed $file, in which nothing else was left"
  else
    write "$new"
    if [ "$action" = undo ]; then rm -f "$noted"; else printf '%s\\n' "$notes" > "$noted"; fi
    echo "changed $file"
  fi
  changed=yes
}

# What add has to add, one "key value" a line. What is there already belongs to another.
notes_of() {
  earlier=
  if [ -e "$noted" ]; then earlier=$(cat "$noted"); fi
  lines=
  if [ -n "$mirror" ] && ! has "$1" registry-mirrors "$mirror"; then lines="registry-mirrors $mirror"; fi
  if [ -n "$insecure" ] && ! has "$1" insecure-registries "$insecure"; then
    lines="$lines\${lines:+
}insecure-registries $insecure"
  fi
  if [ -n "$lines" ]; then
    printf '%s\\n' "$lines"
    printf '%s\\n' "$earlier" | while IFS= read -r line; do
      case "
$lines
" in *"
$line
"*) ;; *) [ -z "$line" ] || printf '%s\\n' "$line" ;; esac
    done
  fi
}

has() {
  case $tool in
    python3) printf '%s' "$1" | python3 -c '
import json, sys
value = json.load(sys.stdin)
listed = value.get(sys.argv[1]) if isinstance(value, dict) else None
sys.exit(0 if isinstance(listed, list) and sys.argv[2] in listed else 1)' "$2" "$3" 2>/dev/null ;;
    jq) printf '%s' "$1" | jq -e --arg key "$2" --arg entry "$3" '(.[$key] // []) | index($entry) != null' >/dev/null 2>&1 ;;
  esac
}

# The new text of daemon.json: the entries of the notes in it, or out of it.
edit() {
  text=$1
  while read -r key entry; do
    [ -n "$key" ] || continue
    text=$(printf '%s' "$text" | edit_one "$key" "$entry") || return 1
  done <<NOTES
$notes
NOTES
  printf '%s' "$text"
}

edit_one() {
  case $tool in
    python3) python3 -c '
import json, sys
action, key, entry = sys.argv[1:]
value = json.load(sys.stdin)
if not isinstance(value, dict) or not isinstance(value.get(key, []), list):
    sys.exit(1)
listed = [one for one in value.get(key, []) if one != entry]
if action == "add":
    listed.append(entry)
if listed:
    value[key] = listed
else:
    value.pop(key, None)
print(json.dumps(value, indent=2, ensure_ascii=False))' "$action" "$1" "$2" 2>/dev/null ;;
    jq) jq -e --arg action "$action" --arg key "$1" --arg entry "$2" '
if type != "object" or ((.[$key] // []) | type) != "array" then error("no") else . end
| ((.[$key] // []) - [$entry] + (if $action == "add" then [$entry] else [] end)) as $listed
| if $listed == [] then del(.[$key]) else .[$key] = $listed end' 2>/dev/null ;;
  esac
}

# By rename: dockerd and a power cut see the old text or the new one.
write() {
  mkdir -p "$(dirname "$file")"
  fresh=$file.$$
  if [ -e "$file" ]; then cp -p "$file" "$fresh"; fi
  printf '%s\\n' "$1" > "$fresh"
  mv "$fresh" "$file"
}

main "$@"
`;
}

/** For sh: nothing in single quotes means anything but itself. */
function quote(text: string): string {
  if (/['\0]/.test(text)) throw new RangeError('a text with a quote can not stand in the script');
  return `'${text}'`;
}
