/* curl.c - what a bare libcurl call costs: curl URL COUNT prints microseconds per request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One handle, one connection, one request after the other: the least that a scalar call could take.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char body[] =
    "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

static double now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static size_t ignore(char *bytes, size_t size, size_t count, void *ctx)
{
    (void)bytes;
    (void)ctx;
    return size * count;
}

int main(int argc, char **argv)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    double started = 0;

    if (argc != 3 || !curl || !headers)
        return 2;
    headers = curl_slist_append(headers, "Authorization: Bearer k");
    curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    for (int i = -50; i < atoi(argv[2]); i++) {
        if (i == 0)
            started = now_us();
        if (curl_easy_perform(curl) != CURLE_OK)
            return 1;
    }
    printf("%.2f\n", (now_us() - started) / atoi(argv[2]));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return 0;
}
