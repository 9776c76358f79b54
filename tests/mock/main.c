/* main.c - mockd, a provider to test against: answers, latency, errors, broken streams.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "behave.h"
#include "serve.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "mockd [--port N] [--seed N] - a mock provider on the loopback interface\n"
    "\n"
    "Prints \"listening on 127.0.0.1:PORT\" when it is ready; --port 0 (the default) takes any.\n"
    "SIGTERM stops it. Speaks, as strictly as the real ones:\n"
    "  POST /v1/chat/completions   OpenAI: JSON and streams, n, tools, usage; any key but none\n"
    "  POST /v1/messages           Anthropic: JSON and streams, system, tools\n"
    "  POST /model/NAME/converse   Bedrock: JSON and, at /converse-stream, streams in AWS's "
    "frames\n"
    "  POST /model/NAME/invoke     Bedrock: Anthropic's messages; /invoke-with-response-stream\n"
    "  POST /api/chat              Ollama: JSON and streams of lines\n"
    "  POST /v1/embeddings         OpenAI: texts with the same words are near; dimensions (256)\n"
    "  GET  /v1/models\n"
    "  GET  /v1/realtime           WebSocket: frames come back; {\"type\":\"response.create\"} is "
    "answered\n"
    "                              with usage, \"drop\" and \"bye\" end it; refuses as status-N\n"
    "Token counts are word counts. Any path before these endpoints will do, and these prefixes:\n"
    "  /d/MS    latency in milliseconds        /j/MS   and up to so much more at random\n"
    "  /m/PLAN  what to do, instead of the model's name: /m/status-503/v1/chat/completions\n"
    "Its own pages:\n"
    "  GET  /__mock/stats    requests, by_model, by_path, connections_accepted, open, in_flight,\n"
    "                        max_in_flight, aborted (answers that the client did not wait for)\n"
    "  GET  /__mock/last     method, path, headers and body of the last request\n"
    "  GET  /__mock/recent   time, model and path of the last 256 requests\n"
    "  POST /__mock/service-key  the public key in PEM that Google's service accounts sign for\n"
    "  GET  /__mock/batches  how many were made, what was paid for; POST: how the next ones go, as "
    "JSON:\n"
    "                        looks, end, drop, garbage, make_status, lose, wait_upload, wait_make, "
    "wait_read\n"
    "  POST /__mock/reset    forgets all of it, and where sequences stand\n"
    "\n"
    "What the name of the model decides:\n";

static int help(void)
{
    (void)fputs(usage, stdout);
    behave_help();
    return 0;
}

static int wrong(const char *program)
{
    (void)fprintf(stderr, "Try %s --help.\n", program);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int port = 0;

    for (int o = getopt_long(argc, argv, "", options, NULL); o != -1;
         o = getopt_long(argc, argv, "", options, NULL)) {
        if (o == 'h')
            return help();
        if (o == 'p')
            port = atoi(optarg);
        else if (o == 's')
            srandom((unsigned)atoi(optarg));
        else
            return wrong(argv[0]);
    }
    if (optind < argc || port < 0 || port > 65535)
        return wrong(argv[0]);
    return serve(port);
}
