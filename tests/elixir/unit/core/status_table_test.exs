defmodule Vllm.Core.StatusTableTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.StatusTable
  alias Vllm.{Error, Ref, Status}

  @engine %{
    name: :llama,
    ref: %Ref{id: "3f2a9c", incarnation: "1", instance: {A, :b}, type: "AsyncLLM"},
    type: "AsyncLLM",
    model: "meta-llama/Llama-3.2-1B",
    state: :ready,
    running: 4,
    waiting: 0,
    tokens_per_s: 118.23,
    generation_tokens: 9,
    kv_cache_usage: 0.031
  }

  @worker %{pid: 4242, vllm_version: "0.32.0", uptime_s: 724.5, max_rss_bytes: 1, calls: 1}

  defp status(engines, fields \\ %{}) do
    instance = %{name: MyApp.Vllm, error: nil, worker: @worker, engines: engines}
    %Status{instances: [Map.merge(instance, fields)]}
  end

  test "a line for the instance, and one for each engine under the titles" do
    assert StatusTable.lines(status([@engine])) == [
             "MyApp.Vllm: pid 4242, vLLM 0.32.0, up 12 min, 1 call in flight",
             "  engine          model            state     running waiting tokens/s     KV",
             "  :llama          meta-llama/Llam… ready           4       0    118.2  3.1 %"
           ]
  end

  test "what is not known is a dash, and an engine without a name has its type and id" do
    unknown = %{waiting: nil, tokens_per_s: nil, kv_cache_usage: nil, name: nil, model: nil}
    [_instance, _titles, line] = StatusTable.lines(status([Map.merge(@engine, unknown)]))

    assert line ==
             "  AsyncLLM 3f2a…  -                ready           4       -        -      -"
  end

  test "every state has a word, and a failed engine its reason" do
    error = Error.new(:engine_error, "no memory left\nfor the cache")

    for {state, word} <- [
          {:building, "building"},
          {:dead, "dead"},
          {{:hangs, 12.6}, "hangs 13 s"},
          {{:failed, error}, "failed"}
        ] do
      [_instance, _titles, line | reason] = StatusTable.lines(status([%{@engine | state: state}]))
      assert line =~ String.slice(word, 0, 8)
      assert reason == if(word == "failed", do: ["    no memory left"], else: [])
    end
  end

  test "an instance that does not answer has its error, and one without engines says so" do
    error = Error.new(:worker_down, "the worker has ended")
    fields = %{error: error, worker: nil}
    assert StatusTable.lines(status([], fields)) == ["MyApp.Vllm: the worker has ended"]
    assert [_instance, "  no engine"] = StatusTable.lines(status([]))
    assert [none] = StatusTable.lines(%Status{instances: []})
    assert none =~ "no instance runs on this node"
  end

  test "a span of time has a unit" do
    for {seconds, text} <-
          [{3.4, "3 s"}, {119, "119 s"}, {121, "2 min"}, {9_000, "3 h"}] ++
            [{900_000, "10 days"}] do
      [line | _] = StatusTable.lines(status([], %{worker: %{@worker | uptime_s: seconds}}))
      assert line =~ "up #{text},"
    end
  end

  test "no line is wider than a terminal of 80 columns, indented by four" do
    long = String.duplicate("long", 40)
    error = Error.new(:engine_error, long)

    engines = [
      %{@engine | name: :"#{long}", model: "/models/" <> long, state: {:failed, error}},
      %{@engine | running: 123_456_789, waiting: 1_234_567_890, tokens_per_s: 1.0e12}
    ]

    lines = StatusTable.lines(status(engines, %{name: :"#{long}"}))
    for line <- lines, do: assert(String.length(line) <= 76, line)
  end

  test "inspecting the status gives the table" do
    shown = inspect(status([@engine]))
    assert "#Vllm.Status<\n  MyApp.Vllm: pid 4242" <> _rest = shown
    assert String.ends_with?(shown, "\n>")
  end
end
