defmodule Vllm.RealEngine.DifferentialTest do
  # The same requests on the same engine, in process and through Elixir: everything is identical,
  # to the last bit of every logprob. The model has random weights, so that nothing is certain but
  # what the seed decides.
  use Vllm.VllmEngine, engine: :random

  @requests Vllm.Requests.all()

  for {name, prompt, params, opts} <-
        Enum.map(@requests, &Tuple.append(&1, [])) ++ Vllm.Requests.with_arguments(),
      kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
    @request {prompt, params ++ [output_kind: kind], opts}

    test "#{name}, #{kind}", %{engine: engine} do
      {prompt, params, opts} = @request
      id = request_id()

      {:ok, in_process} = Vllm.call(engine, :generate_in_process, [prompt, params, id], opts)
      {:ok, stream} = AsyncLLM.generate(engine, prompt, params, id, opts)
      through_elixir = Enum.map(stream, &described/1)

      assert whole(through_elixir, params[:output_kind]) ==
               whole(in_process, params[:output_kind])

      assert_order(through_elixir, params[:output_kind])
    end
  end

  test "all of them at the same time give the same as one after another", %{engine: engine} do
    at_once =
      @requests
      |> Enum.map(fn {_name, prompt, params} ->
        Task.async(fn -> engine |> generate(prompt, params) |> Enum.map(&described/1) end)
      end)
      |> Task.await_many(:infinity)

    for {{name, prompt, params}, items} <- Enum.zip(@requests, at_once) do
      {:ok, alone} = Vllm.call(engine, :generate_in_process, [prompt, params, request_id()])
      # A batch of another size may add floats in another order.
      assert {name, said(items)} == {name, said(alone)}
    end
  end

  test "16 in one batch, with seeds, are identical to the last bit", %{engine: engine} do
    id = request_id()
    {prompts, params} = Enum.unzip(Vllm.Requests.batch())
    in_process = [prompts, params, id]
    {:ok, in_process} = Vllm.call(engine, :generate_batch_in_process, in_process)

    {:ok, nil} = Vllm.call(engine, :pause_generation, mode: "keep")

    streams =
      for {{prompt, params}, number} <- Enum.with_index(Vllm.Requests.batch()) do
        {:ok, stream} = AsyncLLM.generate(engine, prompt, params, "#{id}-#{number}")
        stream
      end

    {:ok, nil} = Vllm.call(engine, :resume_generation)

    for {stream, params, alone} <- Enum.zip([streams, params, in_process]) do
      items = Enum.map(stream, &described/1)
      assert whole(items, params[:output_kind]) == whole(alone, params[:output_kind])
      assert_order(items, params[:output_kind])
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
