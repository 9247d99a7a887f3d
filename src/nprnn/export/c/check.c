/* Is this build of nprnn_model.c right? Prints PASS or FAIL and returns 0 or 1. */
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "nprnn_model.h"

static nprnn_state s, before;
static float out[GOLDEN_STEPS * NPRNN_OUTPUTS];
static float bad[GOLDEN_STEPS * NPRNN_INPUTS];
static float greatest;
static unsigned long compared;
static int wrong;

static void compare(const float *found, const float *expected, size_t count)
{
    size_t k;
    for (k = 0; k < count; k++) {
        float size = expected[k] < 0 ? -expected[k] : expected[k];
        float difference = found[k] > expected[k] ? found[k] - expected[k] : expected[k] - found[k];
        if (!(difference <= GOLDEN_TOLERANCE * (1 + size)))
            wrong = 1;
        if (difference > greatest)
            greatest = difference;
        compared++;
    }
}

static void compare_sequence(const float *x, const float *expected)
{
    const size_t first = GOLDEN_STEPS / 3, rest = GOLDEN_STEPS - first;
    size_t t;
    nprnn_init(&s);
    for (t = 0; t < GOLDEN_STEPS; t++) {
        if (nprnn_step(&s, x + t * NPRNN_INPUTS, out) != NPRNN_OK)
            wrong = 1;
        compare(out, expected + t * NPRNN_OUTPUTS, NPRNN_OUTPUTS);
    }
    /* In two pieces it is the same. */
    nprnn_init(&s);
    if (nprnn_run(&s, x, first, out) != NPRNN_OK)
        wrong = 1;
    if (nprnn_run(&s, x + first * NPRNN_INPUTS, rest, NPRNN_EACH ? out + first * NPRNN_OUTPUTS : out) != NPRNN_OK)
        wrong = 1;
    if (NPRNN_EACH)
        compare(out, expected, GOLDEN_STEPS * NPRNN_OUTPUTS);
    else
        compare(out, expected + (GOLDEN_STEPS - 1) * NPRNN_OUTPUTS, NPRNN_OUTPUTS);
}

/* NaN and infinities are refused, and change nothing. */
static void refuse(uint32_t bits)
{
    const size_t at = GOLDEN_STEPS / 2;
    union {
        uint32_t bits;
        float number;
    } v;
    v.bits = bits;
    memcpy(bad, golden_x, sizeof bad);
    memcpy(&bad[at * NPRNN_INPUTS + NPRNN_INPUTS - 1], &v.number, sizeof v.number);
    memcpy(&before, &s, sizeof s);
    if (nprnn_step(&s, bad + at * NPRNN_INPUTS, out) != NPRNN_BAD_INPUT || memcmp(&before, &s, sizeof s) != 0)
        wrong = 1;
    if (nprnn_run(&s, bad, GOLDEN_STEPS, out) != NPRNN_BAD_INPUT || s.bad_step != at)
        wrong = 1;
    s.bad_step = before.bad_step;
    if (memcmp(&before, &s, sizeof s) != 0)
        wrong = 1;
}

int main(void)
{
    size_t k;
    for (k = 0; k < GOLDEN_SEQUENCES; k++)
        compare_sequence(
            golden_x + k * GOLDEN_STEPS * NPRNN_INPUTS, golden_out + k * GOLDEN_STEPS * NPRNN_OUTPUTS);
    refuse(0x7fc00000u);
    refuse(0x7f800000u);
    refuse(0xff800000u);
    printf("nprnn check: %s, greatest difference %.3g in %lu numbers (allowed: %.3g of 1 + their size)\n",
        wrong ? "FAIL" : "PASS", (double)greatest, compared, (double)GOLDEN_TOLERANCE);
    return wrong;
}
