defmodule Vllm.RealEngine.MetricsTest do
  # What vLLM counts, against what is known of the requests.
  use Vllm.VllmEngine, engine: :scripted, also: [random: :random]

  import Vllm.StandIns

  # Longer than a block of the cache, which has 128 tokens on a CPU.
  @prompt String.duplicate("count one two three four ", 100)

  setup %{engine: engine} do
    # Nothing of an earlier test may be counted in this one.
    wait_idle(engine)
    %{before: metrics(engine)}
  end

  defp metrics(engine) do
    {:ok, engines} = Vllm.metrics(instance())
    assert [%{metrics: metrics}] = Enum.filter(engines, &(&1.ref == engine))
    metrics
  end

  defp wait_idle(engine) do
    wait_until(fn -> match?(%{requests_unfinished: 0, requests_running: 0}, metrics(engine)) end)
  end

  # The numbers of a step follow its outputs.
  defp counted(engine, before, finished) do
    wait_until(fn ->
      metrics(engine).requests_finished == before.requests_finished + finished
    end)

    Map.merge(metrics(engine), before, fn _name, now, earlier -> now - earlier end)
  end

  test "every metric is present", %{engine: engine} do
    names = Keyword.keys(Vllm.Telemetry.numbers())
    assert Enum.sort(Map.keys(metrics(engine))) == Enum.sort(names)
  end

  test "tokens are counted exactly", %{engine: engine, before: before} do
    outputs =
      for prompt <- ["Hello", "count"],
          do: complete(engine, prompt, temperature: 0.0, max_tokens: 32)

    counted = counted(engine, before, 2)
    generated = outputs |> Enum.map(&length(ids(&1))) |> Enum.sum()
    assert counted.generation_tokens == generated

    assert counted.prompt_tokens ==
             outputs |> Enum.map(&length(&1.prompt_token_ids)) |> Enum.sum()

    assert {counted.first_tokens, counted.later_tokens} == {2, generated - 2}
    assert counted.time_to_first_token_s > 0
    assert counted.request_time_s >= counted.time_to_first_token_s
    assert counted.preemptions == 0
  end

  test "a repeated prompt is found in the cache", %{engine: engine, before: before} do
    {:ok, true} = AsyncLLM.reset_prefix_cache(engine)
    first = complete(engine, @prompt, temperature: 0.0, max_tokens: 1)
    once = counted(engine, before, 1)
    assert once.prefix_cache_queries == length(first.prompt_token_ids)
    assert {once.prefix_cache_hits, once.prompt_tokens_cached} == {0, 0}

    second = complete(engine, @prompt, temperature: 0.0, max_tokens: 1)
    assert second.num_cached_tokens > 0
    twice = counted(engine, before, 2)
    assert twice.prefix_cache_hits == second.num_cached_tokens
    assert twice.prompt_tokens_cached == second.num_cached_tokens
  end

  test "a running request is counted", %{engine: engine, before: before} do
    # A request that was over before it was looked at is followed by another.
    wait_until(fn ->
      stream = generate(engine, "count", endless())
      seen? = seen_running?(engine)
      Stream.cancel(stream)
      seen?
    end)

    wait_idle(engine)
    assert metrics(engine).generation_tokens > before.generation_tokens
  end

  defp seen_running?(engine) do
    now = metrics(engine)

    cond do
      now.requests_running == 1 and now.kv_cache_usage > 0 -> true
      now.requests_unfinished == 0 -> false
      true -> seen_running?(engine)
    end
  end

  test "an aborted request is no longer counted", %{engine: engine, before: before} do
    # So that it is there as long as it is looked at.
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    on_exit(fn -> {:ok, nil} = AsyncLLM.resume_generation(engine) end)
    stream = generate(engine, "count", endless())
    assert metrics(engine).requests_unfinished == 1
    Stream.cancel(stream)
    wait_until(fn -> metrics(engine).requests_unfinished == 0 end)
    assert metrics(engine).requests_finished == before.requests_finished
  end

  test "each engine of a worker has its own", context do
    %{engine: engine, random: other, before: before} = context
    wait_idle(other)
    others = metrics(other)
    complete(engine, "Hello", temperature: 0.0, max_tokens: 4)
    assert counted(engine, before, 1).generation_tokens == 4
    assert metrics(other) == others

    complete(other, "Hello", temperature: 0.0, max_tokens: 3, ignore_eos: true)
    assert counted(other, others, 1).generation_tokens == 3
    assert metrics(engine).generation_tokens == before.generation_tokens + 4
  end

  test "they are emitted as events", %{engine: engine} do
    telemetry()
    assert Vllm.Core.Instance.Metrics.emit({instance(), node()}) == :ok
    emitted = events()
    assert [%{calls: 0}] = for({[:vllm, :instance, :metrics], load, _, _} <- emitted, do: load)

    assert [{metrics, metadata}] =
             for(
               {[:vllm, :engine, :metrics], all, %{ref: ^engine} = m, _} <- emitted,
               do: {all, m}
             )

    assert metrics == metrics(engine)
    assert %{instance: instance, engine: nil, model: model} = metadata
    assert {instance, model} == {instance(), model(:scripted)}
  end
end
