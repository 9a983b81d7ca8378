/** Whether a value read from a file has the shape that a type says. A shape tells the first place where it has not. */

/** @returns what is wrong, beginning with the place's name; undefined: nothing. */
export type Shape = (value: unknown, name: string) => string | undefined;

const found = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 60);

/** A value for which `isRight` holds; `what` says it in words. */
export const matching =
  (what: string, isRight: (value: unknown) => boolean): Shape =>
  (value, name) =>
    isRight(value) ? undefined : `expected ${name} to be ${what}, found ${found(value)}`;

export const TEXT = matching('text', (value) => typeof value === 'string');
export const FLAG = matching('true or false', (value) => typeof value === 'boolean');
export const COUNT = matching(
  'a whole number',
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);
export const SECONDS = matching('a number of at least 0', (value) => typeof value === 'number' && value >= 0);

export const within = (from: number, to: number): Shape =>
  matching(
    `a whole number from ${from} to ${to}`,
    (value) => Number.isInteger(value) && (value as number) >= from && (value as number) <= to,
  );

export const oneOf = (...values: readonly unknown[]): Shape =>
  matching(values.map((value) => JSON.stringify(value)).join(' or '), (value) => values.includes(value));

/** May be left out. */
export const optional =
  (shape: Shape): Shape =>
  (value, name) =>
    value === undefined ? undefined : shape(value, name);

export const orNull =
  (shape: Shape): Shape =>
  (value, name) =>
    value === null ? undefined : shape(value, name);

export const listOf =
  (shape: Shape): Shape =>
  (value, name) =>
    Array.isArray(value)
      ? firstOf(value.map((each, index) => () => shape(each, `${name}[${index}]`)))
      : `expected ${name} to be a list, found ${found(value)}`;

/** Any names, each with a value of the shape. */
export const tableOf =
  (shape: Shape): Shape =>
  (value, name) =>
    isObject(value)
      ? firstOf(Object.values(value).map((each) => () => shape(each, `a value of ${name}`)))
      : `expected ${name} to be an object, found ${found(value)}`;

/** Exactly the given names. */
export const objectOf =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value, name) => {
    if (!isObject(value)) return `expected ${name} to be an object, found ${found(value)}`;
    const unknown = Object.keys(value).find((key) => !Object.hasOwn(shapes, key));
    if (unknown !== undefined) return `expected no ${found(unknown)} in ${name}, found one`;
    return firstOf(
      Object.entries(shapes).map(
        ([key, shape]) =>
          () =>
            shape(value[key], `${name}.${key}`),
      ),
    );
  };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function firstOf(checks: readonly (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const wrong = check();
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
