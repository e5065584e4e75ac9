defmodule Vllm.Vllm.DifferentialTest do
  # The same requests on the same engine, in process and through Elixir: everything is identical,
  # to the last bit of every logprob. The model has random weights, so that nothing is certain but
  # what the seed decides.
  use Vllm.VllmEngine, engine: :random

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
    {"no detokenization", "Hello", [seed: 17, detokenize: false, logprobs: 1, max_tokens: 20]}
  ]

  for {name, prompt, params} <- @requests, kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
    @request {prompt, params ++ [output_kind: kind]}

    test "#{name}, #{kind}", %{engine: engine} do
      {prompt, params} = @request
      id = request_id()

      {:ok, in_process} = Vllm.call(engine, :generate_in_process, [prompt, params, id])
      {:ok, stream} = AsyncLLM.generate(engine, prompt, params, id)
      through_elixir = Enum.map(stream, &described/1)

      assert whole(through_elixir, params[:output_kind]) ==
               whole(in_process, params[:output_kind])

      assert_order(through_elixir, params[:output_kind])
    end
  end

  test "all of them at once are the same as one by one", %{engine: engine} do
    at_once =
      @requests
      |> Enum.map(fn {_name, prompt, params} ->
        Task.async(fn -> engine |> generate(prompt, params) |> Enum.map(&described/1) end)
      end)
      |> Task.await_many(60_000)

    for {{name, prompt, params}, items} <- Enum.zip(@requests, at_once) do
      {:ok, alone} = Vllm.call(engine, :generate_in_process, [prompt, params, request_id()])
      # A batch of another size may add floats in another order.
      assert {name, said(items)} == {name, said(alone)}
    end
  end

  # What python's ReferenceAsyncLLM tells of an output.
  defp described(%RequestOutput{} = output) do
    %{
      "request_id" => output.request_id,
      "prompt" => output.prompt,
      "prompt_token_ids" => output.prompt_token_ids,
      "prompt_logprobs" => logprobs(output.prompt_logprobs),
      "finished" => output.finished,
      "outputs" =>
        for %CompletionOutput{} = completion <- output.outputs do
          %{
            "index" => completion.index,
            "text" => completion.text,
            "token_ids" => completion.token_ids,
            "cumulative_logprob" => completion.cumulative_logprob,
            "logprobs" => logprobs(completion.logprobs),
            "finish_reason" => completion.finish_reason,
            "stop_reason" => completion.stop_reason
          }
        end
    }
  end

  defp logprobs(nil), do: nil

  defp logprobs(positions) do
    for position <- positions do
      position &&
        Map.new(position, fn {token, %Vllm.Logprob{} = entry} ->
          {token, [entry.logprob, entry.rank, entry.decoded_token]}
        end)
    end
  end

  # How a request's tokens are spread over items is a matter of time; what they say together is not.
  defp whole(items, kind) do
    last = List.last(items)
    first = hd(items)

    %{
      request: Map.drop(last, ["outputs", "prompt_logprobs"]),
      # DELTA has them in the first item only.
      prompt_logprobs: if(kind == :DELTA, do: first, else: last)["prompt_logprobs"],
      completions: completions(items, kind)
    }
  end

  defp completions(items, kind) do
    items
    |> Enum.flat_map(& &1["outputs"])
    |> Enum.group_by(& &1["index"])
    |> Map.new(fn {index, states} -> {index, final(states, kind)} end)
  end

  defp final(states, :DELTA) do
    states
    |> List.last()
    |> Map.merge(%{
      "text" => Enum.map_join(states, & &1["text"]),
      "token_ids" => Enum.flat_map(states, & &1["token_ids"]),
      "logprobs" => Enum.flat_map(states, &(&1["logprobs"] || []))
    })
  end

  defp final(states, _kind), do: List.last(states)

  defp said(items) do
    for {index, state} <- completions(items, :CUMULATIVE),
        do:
          {index, state["text"], state["token_ids"], state["finish_reason"], state["stop_reason"]}
  end

  # The last item is finished and no other is; with CUMULATIVE every item extends the one before.
  defp assert_order(items, kind) do
    assert Enum.map(items, & &1["finished"]) ==
             List.duplicate(false, length(items) - 1) ++ [true]

    if kind == :FINAL_ONLY, do: assert(length(items) == 1)
    if kind == :CUMULATIVE, do: assert_growing(items)
  end

  defp assert_growing(items) do
    states = items |> Enum.flat_map(& &1["outputs"]) |> Enum.group_by(& &1["index"])

    for {_index, states} <- states, [before, state] <- Enum.chunk_every(states, 2, 1, :discard) do
      assert String.starts_with?(state["text"], before["text"])
      assert List.starts_with?(state["token_ids"], before["token_ids"])
      assert before["finish_reason"] == nil

      if before["logprobs"] do
        assert List.starts_with?(state["logprobs"], before["logprobs"])
        assert length(state["logprobs"]) == length(state["token_ids"])
      end
    end
  end
end
