defmodule Vllm.RealEngine.KVEventsTest do
  # What the KV cache of a real engine stores, as its own events say.
  use Vllm.VllmEngine, engine: :random, also: [limited: :limited]

  alias Vllm.KVEventBatch

  defp stored(%KVEventBatch{events: events}),
    do: for(%{"type" => "BlockStored"} = event <- events, do: event)

  test "the blocks of a prompt are told with its tokens, also to who asks later", %{
    limited: engine
  } do
    text = String.duplicate("What the cache holds. ", 8)

    %RequestOutput{prompt_token_ids: ids} =
      complete(engine, text, max_tokens: 1, temperature: 0.0)

    {:ok, stream} = Vllm.kv_events(engine, since: 0)
    told = told_tokens(stream, ids)
    assert told.batch.data_parallel_rank == 0 and told.batch.missed == 0
    assert [%{"block_size" => size, "block_hashes" => hashes} | _] = told.events
    assert length(hashes) * size <= length(ids)

    # A prompt that begins with them has them in the cache, and stores nothing of them again.
    {:ok, again} = Vllm.kv_events(engine, since: told.batch.sequence + 1)
    task = Task.async(fn -> Enum.find_value(again, &(stored(&1) != [] && &1)) end)
    output = complete(engine, String.duplicate(text, 2), max_tokens: 1)
    assert output.num_cached_tokens > 0
    batch = Task.await(task, :infinity)
    refute Enum.any?(stored(batch), &(&1["block_hashes"] == hashes))
    wait_until(fn -> unfinished(engine) == 0 end)
  end

  # The first batch with blocks of these tokens.
  defp told_tokens(stream, ids) do
    Enum.find_value(stream, fn batch ->
      events = for event <- stored(batch), List.starts_with?(ids, event["token_ids"]), do: event
      events != [] && %{batch: batch, events: events}
    end)
  end

  test "an engine that publishes none says so", %{engine: random} do
    assert {:error, %Error{kind: :unsupported} = error} = Vllm.kv_events(random)
    assert error.message =~ "kv_events_config"
  end
end
