/* lisp - an interpreter of a small Lisp and some programs for it: 13 million instructions in functions that call each
 * other through recursion and through pointers, as real programs do. The image `lisp` keeps its frame pointers; `lisp-nofp`
 * is the same source without them, so that the same samples end where rbp stops meaning anything.
 *
 * One call of (deep n) passes through eval, form_if, eval, arguments twice, eval, and apply.
 *
 * RUN    lisp
 * OUTPUT fib 233
 * OUTPUT ackermann 21
 * OUTPUT primes 46
 * OUTPUT sorted (1 7 13 14 20 24 52 58 58 65 72 75 79 84 84 94)
 * OUTPUT queens 10
 * OUTPUT deep 20
 * OUTPUT checksum 466636a2d761e920
 * STACK  getpid(1): primitive_mark apply eval form_if eval apply \
 *                   (eval arguments arguments eval form_if eval apply)*20 eval run main _start; ends: fp-below-sp
 * EXIT   0
 *
 * RUN    lisp-nofp
 * OUTPUT fib 233
 * OUTPUT ackermann 21
 * OUTPUT primes 46
 * OUTPUT sorted (1 7 13 14 20 24 52 58 58 65 72 75 79 84 84 94)
 * OUTPUT queens 10
 * OUTPUT deep 20
 * OUTPUT checksum 466636a2d761e920
 * STACK  getpid(1): primitive_mark apply ?
 * EXIT   0
 */
#include "lib/stack.h"
#include "lib/text.h"
#include "lisp-programs.h"

/* ---- Values ---- */

typedef const struct cell *value;

enum kind { NUMBER, SYMBOL, PAIR, PRIMITIVE, CLOSURE };

struct cell {
    enum kind kind;
    union {
        long number;
        struct {
            const char *name;
            unsigned length;
            value (*form)(value operands, value environment);   /* of a special form, else 0 */
            value global;                                       /* 0 where it has none */
        } symbol;
        struct { value first, rest; } pair;
        value (*primitive)(value operands);
        struct { value parameters, body, environment; } closure;
    };
};

#define CELLS 100000

static struct cell cells[CELLS];
static unsigned used;

/* The empty list, which is also false; and true. Both are symbols whose value is themselves. */
static value nil, truth;

static void die(const char *reason)
{
    say("lisp: %s\n", reason);
    SYSCALL(exit_group, 1);
}

static struct cell *new_cell(enum kind kind)
{
    if (used == CELLS)
        die("out of memory");
    cells[used].kind = kind;
    return &cells[used++];
}

static value number(long n)
{
    struct cell *cell = new_cell(NUMBER);

    cell->number = n;
    return cell;
}

static value cons(value first, value rest)
{
    struct cell *cell = new_cell(PAIR);

    cell->pair.first = first;
    cell->pair.rest = rest;
    return cell;
}

static const struct cell *expect(value v, enum kind kind)
{
    static const char *const messages[] = {
        "expected a number", "expected a symbol", "expected a pair", "expected a primitive", "expected a closure",
    };

    if (v->kind != kind)
        die(messages[kind]);
    return v;
}

static value first(value v) { return expect(v, PAIR)->pair.first; }
static value rest(value v) { return expect(v, PAIR)->pair.rest; }
static value second(value v) { return first(rest(v)); }
static value third(value v) { return second(rest(v)); }
static long integer(value v) { return expect(v, NUMBER)->number; }

/* ---- Symbols: interned in a chain of pairs, so that two are equal when they are the same cell ---- */

static value symbols;

static int is_named(value symbol, const char *name, unsigned length)
{
    if (symbol->symbol.length != length)
        return 0;
    for (unsigned i = 0; i < length; i++)
        if (symbol->symbol.name[i] != name[i])
            return 0;
    return 1;
}

static struct cell *intern(const char *name, unsigned length)
{
    for (value chain = symbols; chain; chain = chain->pair.rest)
        if (is_named(chain->pair.first, name, length))
            return (struct cell *)chain->pair.first;

    struct cell *symbol = new_cell(SYMBOL);
    symbol->symbol.name = name;
    symbol->symbol.length = length;
    symbols = cons(symbol, symbols);
    return symbol;
}

/* ---- The reader: a recursive descent over `text` ---- */

static const char *text;

static value read_value(void);

static int at_delimiter(void)
{
    return *text == 0 || *text == ' ' || *text == '(' || *text == ')';
}

static void skip_blanks(void)
{
    while (*text == ' ')
        text++;
}

static value read_list(void)
{
    skip_blanks();
    if (*text == 0)
        die("unbalanced parentheses");
    if (*text == ')') {
        text++;
        return nil;
    }
    value head = read_value();
    return cons(head, read_list());
}

static value read_value(void)
{
    skip_blanks();
    if (*text == '(') {
        text++;
        return read_list();
    }

    const char *start = text;
    while (!at_delimiter())
        text++;
    return *start >= '0' && *start <= '9' ? number(parse(start)) : intern(start, text - start);
}

/* ---- The evaluator ---- */

static value eval(value v, value environment);

/* The value of a symbol: from the environment, a list of (symbol . value), or else its global one. */
static value look_up(value symbol, value environment)
{
    for (; environment != nil; environment = environment->pair.rest)
        if (environment->pair.first->pair.first == symbol)
            return environment->pair.first->pair.rest;
    if (!symbol->symbol.global)
        die("unbound symbol");
    return symbol->symbol.global;
}

static value bind(value parameters, value operands, value environment)
{
    for (; parameters != nil; parameters = rest(parameters), operands = rest(operands))
        environment = cons(cons(first(parameters), first(operands)), environment);
    return environment;
}

static OPAQUE value arguments(value list, value environment)
{
    if (list == nil)
        return nil;
    value head = eval(first(list), environment);
    return cons(head, arguments(rest(list), environment));
}

static OPAQUE value apply(value function, value operands)
{
    value result;

    if (function->kind == PRIMITIVE)
        result = function->primitive(operands);
    else
        result = eval(expect(function, CLOSURE)->closure.body,
                      bind(function->closure.parameters, operands, function->closure.environment));
    return result;
}

static OPAQUE value eval(value v, value environment)
{
    if (v->kind == SYMBOL)
        return look_up(v, environment);
    if (v->kind != PAIR)
        return v;

    value head = first(v);
    if (head->kind == SYMBOL && head->symbol.form)
        return head->symbol.form(rest(v), environment);
    value function = eval(head, environment);
    return apply(function, arguments(rest(v), environment));
}

static OPAQUE value form_if(value operands, value environment)
{
    value chosen = eval(first(operands), environment) != nil ? second(operands) : third(operands);

    return eval(chosen, environment);
}

static value form_lambda(value operands, value environment)
{
    struct cell *cell = new_cell(CLOSURE);

    cell->closure.parameters = first(operands);
    cell->closure.body = second(operands);
    cell->closure.environment = environment;
    return cell;
}

/* (let (name expression) body) */
static value form_let(value operands, value environment)
{
    value binding = first(operands), bound = eval(second(binding), environment);

    return eval(second(operands), cons(cons(first(binding), bound), environment));
}

/* (define (name parameter…) body) */
static value form_define(value operands, value environment)
{
    value signature = first(operands);
    struct cell *name = (struct cell *)expect(first(signature), SYMBOL);

    name->symbol.global = form_lambda(cons(rest(signature), rest(operands)), environment);
    return name;
}

static const struct { const char *name; value (*form)(value, value); } forms[] = {
    { "if", form_if },
    { "lambda", form_lambda },
    { "let", form_let },
    { "define", form_define },
};

/* ---- Primitives ---- */

static value primitive_add(value v) { return number(integer(first(v)) + integer(second(v))); }
static value primitive_subtract(value v) { return number(integer(first(v)) - integer(second(v))); }
static value primitive_multiply(value v) { return number(integer(first(v)) * integer(second(v))); }
static value primitive_remainder(value v) { return number(integer(first(v)) % integer(second(v))); }
static value primitive_less(value v) { return integer(first(v)) < integer(second(v)) ? truth : nil; }
static value primitive_equal(value v) { return integer(first(v)) == integer(second(v)) ? truth : nil; }
static value primitive_null(value v) { return first(v) == nil ? truth : nil; }
static value primitive_cons(value v) { return cons(first(v), second(v)); }
static value primitive_car(value v) { return first(first(v)); }
static value primitive_cdr(value v) { return rest(first(v)); }

/* (mark n) - the marked point of this program; its value is 0. */
static OPAQUE value primitive_mark(value v)
{
    MARK(integer(first(v)));
    return number(0);
}

static const struct { const char *name; value (*primitive)(value); } primitives[] = {
    { "+", primitive_add },     { "-", primitive_subtract }, { "*", primitive_multiply },
    { "<", primitive_less },    { "=", primitive_equal },    { "remainder", primitive_remainder },
    { "null", primitive_null }, { "cons", primitive_cons },  { "car", primitive_car },
    { "cdr", primitive_cdr },   { "mark", primitive_mark },
};

/* ---- The rest: names, printing, the loop over the programs ---- */

static unsigned length_of(const char *name)
{
    unsigned length = 0;

    while (name[length])
        length++;
    return length;
}

static struct cell *name(const char *text)
{
    return intern(text, length_of(text));
}

/* A symbol whose value is itself. */
static value constant(const char *text)
{
    struct cell *symbol = name(text);

    return symbol->symbol.global = symbol;
}

static void set_up(void)
{
    nil = constant("nil");
    truth = constant("true");
    for (unsigned i = 0; i < sizeof(forms) / sizeof(*forms); i++)
        name(forms[i].name)->symbol.form = forms[i].form;
    for (unsigned i = 0; i < sizeof(primitives) / sizeof(*primitives); i++) {
        struct cell *cell = new_cell(PRIMITIVE);

        cell->primitive = primitives[i].primitive;
        name(primitives[i].name)->symbol.global = cell;
    }
}

static void print(struct line *line, value v)
{
    const char *separator = "(";

    if (v->kind == NUMBER) {
        append(line, "%d", v->number);
        return;
    }
    for (; v->kind == PAIR; v = v->pair.rest) {
        append(line, "%s", separator);
        print(line, v->pair.first);
        separator = " ";
    }
    append(line, ")");
}

static unsigned long checksum = 14695981039346656037UL;     /* FNV-1a, 64 bits */

static void add_to_checksum(const struct line *line)
{
    for (unsigned i = 0; i < line->length; i++)
        checksum = (checksum ^ (unsigned char)line->bytes[i]) * 1099511628211UL;
}

/* Evaluates the titled expression and prints it. Nothing of it is reachable afterwards, for nothing in the language
 * changes a value that exists: its cells are free again. */
static OPAQUE void run(value title, value expression)
{
    struct line line = { .length = 0 };
    unsigned before = used;
    value result = eval(expression, nil);

    for (unsigned i = 0; i < title->symbol.length; i++)
        append(&line, "%c", (long)title->symbol.name[i]);
    append(&line, " ");
    print(&line, result);
    append(&line, "\n");
    add_to_checksum(&line);
    flush(&line);
    used = before;
}

int main(void)
{
    set_up();
    for (text = source; *text; skip_blanks()) {
        value form = read_value();

        if (form->kind == PAIR)
            eval(form, nil);
        else
            run(form, read_value());
    }
    say("checksum %x\n", checksum);
    return 0;
}
