defmodule Vllm.Requests do
  @moduledoc false
  # Requests that touch every sampling parameter, for tests that compare how they are carried out.
  # They are for the model with random weights, of which nothing is certain but what the seed decides.

  @schema %{
    type: "object",
    properties: %{
      a: %{type: "string", maxLength: 9},
      b: %{type: "array", items: %{enum: [1, nil]}}
    },
    required: ["a", "b"]
  }

  @requests [
    {"a greedy request", "Hello", [temperature: 0.0]},
    {"a long greedy request", "Once upon a time", [temperature: 0.0, max_tokens: 200]},
    {"a sampled request", "Hello", [seed: 1, max_tokens: 50]},
    {"a sampled request of another seed", "Hello", [seed: 2, max_tokens: 50]},
    {"temperature, top_p, top_k and min_p", "Hello",
     [seed: 3, temperature: 1.7, top_p: 0.95, top_k: 40, min_p: 0.01, max_tokens: 50]},
    {"penalties", "Hello",
     [
       seed: 4,
       presence_penalty: 0.5,
       frequency_penalty: 0.7,
       repetition_penalty: 1.2,
       max_tokens: 50
     ]},
    {"logprobs", "Hello", [temperature: 0.0, logprobs: 5, max_tokens: 30]},
    {"logprobs of a sampled request", "Hello", [seed: 5, logprobs: 3, max_tokens: 30]},
    {"logprobs of the sampled token alone", "Hello", [seed: 6, logprobs: 0, max_tokens: 30]},
    {"flat logprobs", "Hello", [seed: 6, logprobs: 2, flat_logprobs: true, max_tokens: 20]},
    {"prompt logprobs", "A prompt of some words", [temperature: 0.0, prompt_logprobs: 2]},
    {"logprobs of prompt and output", "A prompt of some words",
     [seed: 7, prompt_logprobs: 1, logprobs: 2, max_tokens: 20]},
    {"two completions", "Hello", [n: 2, seed: 8, max_tokens: 40]},
    {"two completions with logprobs", "Hello", [n: 2, seed: 9, logprobs: 2, max_tokens: 30]},
    {"stop strings", "Hello", [seed: 10, stop: ["a", "e", "\n"], max_tokens: 300]},
    {"stop strings that stay", "Hello",
     [seed: 10, stop: ["a", "e"], include_stop_str_in_output: true, max_tokens: 300]},
    {"stop tokens", "Hello", [seed: 11, stop_token_ids: Enum.to_list(60..90), max_tokens: 300]},
    {"min_tokens", "Hello",
     [seed: 11, stop_token_ids: Enum.to_list(60..90), min_tokens: 20, max_tokens: 300]},
    {"the end of the sequence ignored", "Hello", [seed: 12, ignore_eos: true, max_tokens: 60]},
    {"logit_bias", "Hello",
     [seed: 13, logit_bias: %{80 => 30.0, 81 => 29.5}, logprobs: 1, max_tokens: 30]},
    {"bad_words", "Hello", [temperature: 0.0, bad_words: ["a", "b", " c"], max_tokens: 60]},
    {"allowed_token_ids", "Hello",
     [seed: 14, allowed_token_ids: Enum.to_list(70..75), logprobs: 8, max_tokens: 30]},
    {"a prompt of ids", [10, 20, 30, 40], [seed: 15, max_tokens: 30]},
    {"special tokens kept", "Hello", [seed: 16, skip_special_tokens: false, max_tokens: 60]},
    {"no detokenization", "Hello", [seed: 17, detokenize: false, logprobs: 1, max_tokens: 20]},
    {"min_tokens beyond the end of the sequence", "Hello",
     [seed: 18, min_tokens: 150, max_tokens: 300]},
    {"five completions with stop tokens", "abc",
     [n: 5, seed: 5, stop_token_ids: Enum.to_list(40..50), logprobs: 1, max_tokens: 100]},
    {"three completions with stop strings", "abc",
     [n: 3, seed: 6, stop: ["a", "e", " "], min_tokens: 5, max_tokens: 100]},
    {"logprobs of ids that were asked for", "Hello",
     [seed: 19, logprobs: 2, logprob_token_ids: [100, 101], max_tokens: 20]},
    {"repetition that is detected", "Hello",
     [
       temperature: 0.0,
       allowed_token_ids: [70, 71],
       max_tokens: 300,
       repetition_detection: [max_pattern_size: 4, min_count: 3]
     ]},
    {"items at intervals", "Hello", [seed: 20, stream_interval: 7, max_tokens: 50]},
    {"extra_args", "Hello", [seed: 21, extra_args: %{"a" => [1, nil]}, max_tokens: 20]},
    {"a text prompt as a map", %{prompt: "Hello"}, [seed: 22, max_tokens: 20]},
    {"a text prompt as a struct", %Vllm.TextPrompt{prompt: "né 日本"}, [seed: 22, max_tokens: 20]},
    {"ids as a map", %{prompt_token_ids: [10, 20, 30]}, [seed: 23, max_tokens: 20]},
    {"ids with their text", %{prompt_token_ids: [10, 20, 30], prompt: "shown"},
     [seed: 23, prompt_logprobs: 1, max_tokens: 20]},
    {"ids as a struct, with a salt", %Vllm.TokensPrompt{prompt_token_ids: [10], cache_salt: "a"},
     [seed: 24, max_tokens: 20]},
    {"a regular expression", "Hello",
     [seed: 25, logprobs: 2, max_tokens: 60, structured_outputs: [regex: "[a-z]{3,30}é?[0-9]"]]},
    {"a choice, of several completions", "Hello",
     [n: 5, seed: 26, structured_outputs: [choice: ["red", "green", "blue"]]]},
    {"a JSON schema", "Hello", [seed: 27, max_tokens: 80, structured_outputs: [json: @schema]]},
    {"any JSON object", "Hello",
     [seed: 28, max_tokens: 80, structured_outputs: [json_object: true]]},
    {"an EBNF grammar", "Hello",
     [
       seed: 29,
       max_tokens: 80,
       structured_outputs: [grammar: ~S|root ::= [ab]{5,50} "."?|]
     ]},
    {"a Lark grammar, with a stop string", "Hello",
     [
       seed: 30,
       max_tokens: 80,
       stop: ["ba"],
       structured_outputs: [grammar: ~S(start: /[ab]{5,50}/ "!")]
     ]},
    {"a structural tag", "Hello",
     [
       seed: 31,
       max_tokens: 80,
       structured_outputs: [
         structural_tag:
           ~S({"type": "structural_tag", "format": {"type": "tag", "begin": "<a>", "end": "</a>", ) <>
             ~S("content": {"type": "regex", "pattern": "[a-z]{2,20}"}}})
       ]
     ]}
  ]

  @doc "Each with a name, a prompt and parameters."
  def all, do: @requests

  # Arguments of the call itself, with the prompt that they are about.
  @arguments [
    {"priority", "Hello", [priority: 7]},
    {"trace_headers", "Hello", [trace_headers: %{"traceparent" => "00-1-2-01"}]},
    {"prompt_text beside text", "Hello", [prompt_text: "shown"]},
    {"prompt_text beside ids", [10, 20], [prompt_text: "shown"]},
    {"truncation", "A long prompt", [tokenization_kwargs: %{"truncate_prompt_tokens" => 4}]},
    {"truncation at the right", "A long prompt",
     [tokenization_kwargs: %{"truncate_prompt_tokens" => 4, "truncation_side" => "right"}]},
    {"truncation to max_length", "A long prompt",
     [tokenization_kwargs: %{"truncation" => true, "max_length" => 5}]}
  ]

  def with_arguments do
    for {name, prompt, opts} <- @arguments,
        do: {name, prompt, [seed: 40, prompt_logprobs: 0, max_tokens: 20], opts}
  end

  # Nothing in here ends or begins by chance: neither stop strings, which the front end looks for,
  # nor structures, which are compiled beside the engine. So the batch is the same, step by step.
  def batch do
    for n <- 1..16 do
      {Enum.at(["Hello", "Once upon a time", [10, 20, 30]], rem(n, 3)),
       [
         seed: n,
         n: 1 + rem(n, 2),
         temperature: 0.5 + n / 16,
         top_k: 10 * n,
         presence_penalty: 0.1 * n,
         stop_token_ids: Enum.to_list(60..62),
         logprobs: rem(n, 4),
         max_tokens: 20 + 10 * rem(n, 5),
         output_kind: Enum.at([:CUMULATIVE, :DELTA, :FINAL_ONLY], rem(div(n, 3), 3))
       ]}
    end
  end
end
