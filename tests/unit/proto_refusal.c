/* SPDX-License-Identifier: MIT */
#include "refusal.h"

#include "unit.h"

#include <string.h>

/* Written out once more: these pairs are promised to every client and never change. New ones come at the end.
 */
static const struct {
	int number;
	const char *name;
} promised[] = {
	{1, "NO_IOMMU"},
	{2, "NO_DOMAINS"},
	{3, "DOMAIN_INCOMPATIBLE"},
	{4, "DEVICE_BAD_STATE"},
	{5, "NOT_A_DOMAIN"},
	{6, "NOT_A_DEVICE"},
	{7, "GROUP_NOT_VIABLE"},
	{8, "DEVICE_BUSY"},
	{9, "NO_SUCH_DEVICE"},
	{10, "DENIED"},
	{11, "QUOTA"},
	{12, "MEMLOCK"},
	{13, "IOVA_IN_USE"},
	{14, "IOVA_INVALID"},
	{15, "NOT_BOUND"},
	{16, "ALREADY_BOUND"},
	{17, "QUARANTINED"},
	{18, "REVOKED"},
	{19, "GONE"},
	{20, "UNSUPPORTED"},
	{21, "MALFORMED"},
	{22, "NO_KEEPER"},
	{23, "FAILED"},
	{24, "WINDOW_UNAVAILABLE"},
	{25, "NOT_MEMORY"},
	{26, "NOT_QUARANTINED"},
	{27, "NOT_LEASABLE"},
	{28, "IN_USE"},
	{29, "NO_DOMAIN_FILE"},
	{30, "ROOT_ONLY"},
	{31, "NO_REMAPPING"},
};

static void numbers_and_names_are_stable(void **state)
{
	(void)state;
	assert_int_equal(REFUSAL_MAX, sizeof promised / sizeof promised[0] + 1);
	for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++)
		assert_string_equal(refusal_name(promised[i].number), promised[i].name);
	assert_string_equal(refusal_name(0), "NONE");
}

static void each_has_its_own_words(void **state)
{
	(void)state;
	for (int i = 0; i < REFUSAL_MAX; i++) {
		assert_true(strlen(refusal_sentence(i)) > 10);
		assert_true(strlen(refusal_advice(i)) > 10);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(refusal_sentence(i), refusal_sentence(j));
	}
}

static void unknown_numbers_have_words_too(void **state)
{
	const int unknown[] = {-1, REFUSAL_MAX, REFUSAL_MAX + 1, INT32_MAX, INT32_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
		assert_string_equal(refusal_name(unknown[i]), "UNKNOWN");
		assert_non_null(refusal_sentence(unknown[i]));
		assert_non_null(refusal_advice(unknown[i]));
	}
}

static void refuse_writes_the_detail(void **state)
{
	struct detail detail;
	char longer[DETAIL_SIZE + 1];

	(void)state;
	assert_int_equal(refuse(&detail, REFUSAL_QUOTA, "%d of %d", 4, 4), REFUSAL_QUOTA);
	assert_string_equal(detail.text, "4 of 4");
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(refuse(&detail, REFUSAL_GONE, "%s", longer), REFUSAL_GONE);
	assert_int_equal(strlen(detail.text), DETAIL_SIZE - 1);
}

static void quote_leaves_nothing_dangerous(void **state)
{
	char buffer[64];

	(void)state;
	assert_string_equal(refusal_quote(buffer, sizeof buffer, "0000:01:00.0", 32), "0000:01:00.0");
	assert_string_equal(refusal_quote(buffer, sizeof buffer, "a\n\033\x7f\xff", 32), "a\\x0a\\x1b\\x7f\\xff");
	assert_string_equal(refusal_quote(buffer, sizeof buffer, "\"'\\", 32), "\\x22\\x27\\x5c");
	assert_string_equal(refusal_quote(buffer, sizeof buffer, "", 32), "");
}

static void quote_reads_no_further_than_it_may(void **state)
{
	char *text = malloc(4); /* AddressSanitizer watches its end */
	char buffer[64];

	(void)state;
	memcpy(text, "abcd", 4);
	assert_string_equal(refusal_quote(buffer, sizeof buffer, text, 4), "abcd");
	assert_string_equal(refusal_quote(buffer, sizeof buffer, text, 2), "ab");
	text[1] = '\0';
	assert_string_equal(refusal_quote(buffer, sizeof buffer, text, 4), "a");
	free(text);
}

static void quote_cuts_at_whole_characters(void **state)
{
	char buffer[8];

	(void)state;
	memset(buffer, 'z', sizeof buffer);
	assert_string_equal(refusal_quote(buffer, 5, "\n\n", 2), "\\x0a");
	assert_int_equal(buffer[5], 'z');
	assert_string_equal(refusal_quote(buffer, 4, "\n\n", 2), "");
	assert_string_equal(refusal_quote(buffer, 4, "abcdef", 6), "abc");
	assert_string_equal(refusal_quote(buffer, 1, "abcdef", 6), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_names_are_stable),
		cmocka_unit_test(each_has_its_own_words),
		cmocka_unit_test(unknown_numbers_have_words_too),
		cmocka_unit_test(refuse_writes_the_detail),
		cmocka_unit_test(quote_leaves_nothing_dangerous),
		cmocka_unit_test(quote_reads_no_further_than_it_may),
		cmocka_unit_test(quote_cuts_at_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
