/** Retention against a model that says each rule in one line, on 1,000 random histories of a real repository state. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RepositoryState } from '../../../src/hosted/log/repository-state.ts';
import { type RetainedTag, Retention, type RetentionRule } from '../../../src/hosted/retention.ts';
import { app, digestNo, manifest, tag } from '../../support/hosted-log.ts';

const hourMs = 3_600_000;
const names = ['v1', 'v2', 'v3', 'v1-rc', 'latest', 'main', 'pr-7', 'pr-8'];

interface Step {
  readonly kind: 'push' | 'move' | 'untag' | 'delete' | 'pull';
  readonly digest: number;
  readonly tag: string;
  /** Hours since the step before. */
  readonly after: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('push', 'push', 'push', 'move', 'untag', 'delete', 'pull'),
  digest: fc.integer({ min: 0, max: 9 }),
  tag: fc.constantFrom(...names),
  after: fc.integer({ min: 0, max: 30 }),
});

const rule: fc.Arbitrary<RetentionRule> = fc.record({
  repositories: fc.constantFrom(['**'], ['team/*'], ['lab/**'], ['lab/**', 'team/app']),
  tags: fc.constantFrom(['*'], ['v*'], ['pr-*', 'main'], ['*-rc']),
  keep: fc.record(
    {
      newest: fc.integer({ min: 1, max: 3 }),
      pushedWithinMs: fc.integer({ min: 1, max: 60 }).map(hours => hours * hourMs),
      pulledWithinMs: fc.integer({ min: 1, max: 60 }).map(hours => hours * hourMs),
    },
    { requiredKeys: [] },
  ),
});

function play(steps: readonly Step[]): { readonly state: RepositoryState; readonly now: number } {
  const state = new RepositoryState();
  let now = 1_000 * hourMs;
  for (const { kind, digest, tag: name, after } of steps) {
    now += after * hourMs;
    const cause = { at: now, how: 'push' } as const;
    const isThere = state.manifests.has(digestNo(digest));
    if (kind === 'push') state.apply([manifest(digest, [name], { at: now })]);
    else if (kind === 'untag') state.apply([{ type: 'untag', tag: tag(name), ...cause }]);
    else if (!isThere) continue;
    else if (kind === 'move')
      state.apply([{ type: 'tag', tag: tag(name), digest: digestNo(digest), ...cause }]);
    else if (kind === 'delete')
      state.apply([{ type: 'delete-manifest', digest: digestNo(digest), ...cause }]);
    else state.apply([{ type: 'pulled', digest: digestNo(digest), at: now }]);
  }
  return { state, now };
}

function tagsOf(state: RepositoryState, sheltered: ReadonlySet<string>): RetainedTag[] {
  return state.tags.map(name => {
    const move = state.moves.get(name)?.at(-1);
    const held = move?.to && state.manifests.get(move.to);
    if (move?.to === undefined || !held) throw new Error(`the history says nothing of ${name}`);
    return {
      tag: name,
      digest: move.to,
      pushedAt: Math.max(move.at, held.at),
      ...(held.pulledAt !== undefined && { pulledAt: held.pulledAt }),
      isImmutable: sheltered.has(`immutable ${name}`),
      isPinned: sheltered.has(`pinned ${name}`),
    };
  });
}

/** By regular expressions of its own, and by counting for each tag how many are newer. */
function modelKeeps(all: readonly RetainedTag[], rules: readonly RetentionRule[], now: number): string[] {
  const matches = (patterns: readonly string[], text: string) =>
    patterns.some(pattern =>
      new RegExp(`^${pattern.replaceAll('**', '.+').replaceAll(/(?<!\.)\*/g, '.*')}$`).test(text),
    );
  const ruleOf = ({ tag: name }: RetainedTag) =>
    rules.find(({ repositories, tags }) => matches(repositories, app) && matches(tags, name));
  const isFree = ({ isImmutable, isPinned }: RetainedTag) => !isImmutable && !isPinned;
  const keeps = (held: RetainedTag): boolean => {
    const mine = ruleOf(held);
    if (mine === undefined || !isFree(held)) return true;
    const { newest = 0, pushedWithinMs = -1, pulledWithinMs = -1 } = mine.keep;
    const newer = all.filter(
      other =>
        isFree(other) &&
        ruleOf(other) === mine &&
        (other.pushedAt > held.pushedAt || (other.pushedAt === held.pushedAt && other.tag < held.tag)),
    );
    return (
      newer.length < newest ||
      now - held.pushedAt <= pushedWithinMs ||
      now - (held.pulledAt ?? Number.NEGATIVE_INFINITY) <= pulledWithinMs
    );
  };
  return all.filter(keeps).map(held => held.tag);
}

test('it keeps what the model keeps, on 1,000 random histories, and names a rule that matches', () => {
  const shelter = fc.subarray(names.flatMap(name => [`immutable ${name}`, `pinned ${name}`]));
  let expired = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 40 }),
      fc.array(rule, { minLength: 1, maxLength: 4 }),
      fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: shelter }),
      (steps, rules, sheltered) => {
        const { state, now } = play(steps);
        const tags = tagsOf(state, new Set(sheltered));
        const decisions = new Retention(rules).decide(app, tags, now);
        expect(decisions.map(decision => decision.tag)).toEqual(tags.map(held => held.tag));
        expect(decisions.filter(({ keeps }) => keeps).map(decision => decision.tag)).toEqual(
          modelKeeps(tags, rules, now),
        );
        for (const { keeps, reason, rule: index } of decisions) {
          expect(keeps).toBe(reason !== 'expired');
          expect(index === undefined).toBe(reason === 'no rule');
        }
        expired += decisions.filter(({ keeps }) => !keeps).length;
      },
    ),
    { numRuns: 1000, seed: 20_261_127 },
  );
  expect(expired).toBeGreaterThan(500); // the histories are no empty ones
});

test('without rules nothing goes, however old', () => {
  const { state, now } = play([{ kind: 'push', digest: 1, tag: 'v1', after: 0 }]);
  expect(new Retention([]).decide(app, tagsOf(state, new Set()), now + 10_000 * 24 * hourMs)).toEqual([
    { tag: 'v1', digest: digestNo(1), keeps: true, reason: 'no rule' },
  ]);
});
