defmodule Vllm.Telemetry.GenAITest do
  # Defines the module Telemetry.Metrics while it runs.
  use ExUnit.Case, async: false

  alias Vllm.{Ref, StandIns, Telemetry}
  alias Vllm.Core.Telemetry.Models
  alias Vllm.Telemetry.GenAI

  @ref %Ref{instance: {__MODULE__, :here}, incarnation: "i", id: "e", type: "AsyncLLM"}
  @request %{instance: X, class: "AsyncLLM", method: "generate", ref: @ref, request_id: "r"}
  @native System.convert_time_unit(1, :second, :native)

  setup do: Models.put(@ref, "smollm")

  @stopped %{
    items: 3,
    duration: 2 * @native,
    monotonic_time: 1,
    time_to_first_item: div(@native, 4),
    input_tokens: 5,
    output_tokens: 7,
    time_to_first_token: div(@native, 5),
    time_per_output_token: div(@native, 10),
    engine_duration: @native
  }

  describe "attributes/2" do
    test "of a stream that has ended" do
      metadata =
        Map.merge(@request, %{result: :ok, response_model: "pirate", finish_reasons: ["length"]})

      assert GenAI.attributes(@stopped, metadata) == %{
               "gen_ai.operation.name" => "text_completion",
               "gen_ai.provider.name" => "vllm",
               "gen_ai.request.model" => "smollm",
               "gen_ai.response.model" => "pirate",
               "gen_ai.response.finish_reasons" => ["length"],
               "gen_ai.response.time_to_first_chunk" => 0.25,
               "gen_ai.usage.input_tokens" => 5,
               "gen_ai.usage.output_tokens" => 7
             }
    end

    test "of a request that goes on, whose engine is not known" do
      metadata = %{@request | ref: %{@ref | id: "another"}, method: "stream_chat"}

      assert GenAI.attributes(%{}, metadata) ==
               %{"gen_ai.operation.name" => "chat", "gen_ai.provider.name" => "vllm"}
    end

    test "name an error by its kind, or by what was raised" do
      for {more, type} <- [
            {%{result: :timeout}, "timeout"},
            {%{result: :halted}, nil},
            {%{kind: :error, reason: %RuntimeError{message: "x"}, stacktrace: []},
             "RuntimeError"},
            {%{kind: :exit, reason: :killed, stacktrace: []}, "exit"}
          ],
          do: assert(GenAI.attributes(%{}, Map.merge(@request, more))["error.type"] == type)
    end

    test "there are none of what is no request" do
      assert GenAI.attributes(%{}, %{@request | method: "sleep"}) == %{}
      assert GenAI.attributes(%{}, %{@request | class: "Worker"}) == %{}
      assert GenAI.attributes(%{calls: 1}, %{instance: X}) == %{}
    end
  end

  test "a span is named by its operation and the model, if that is known" do
    assert GenAI.span_name(@request) == "text_completion smollm"
    assert GenAI.span_name(%{@request | method: "embed", ref: nil}) == "embeddings"
    assert GenAI.span_name(%{@request | method: "sleep"}) == nil
    assert GenAI.span_name(%{instance: X}) == nil
  end

  describe "recordings/3" do
    test "of a stream that has ended are in the units of the metrics" do
      metadata =
        Map.merge(@request, %{result: :ok, response_model: nil, finish_reasons: ["stop"]})

      recordings = GenAI.recordings([:vllm, :stream, :stop], @stopped, metadata)

      names = %{
        "gen_ai.operation.name" => "text_completion",
        "gen_ai.provider.name" => "vllm",
        "gen_ai.request.model" => "smollm"
      }

      assert recordings == [
               {"gen_ai.client.operation.duration", 2.0, names},
               {"gen_ai.client.token.usage", 5, Map.put(names, "gen_ai.token.type", "input")},
               {"gen_ai.client.token.usage", 7, Map.put(names, "gen_ai.token.type", "output")},
               {"gen_ai.server.request.duration", 1.0, names},
               {"gen_ai.server.time_to_first_token", 0.2, names},
               {"gen_ai.server.time_per_output_token", 0.1, names}
             ]
    end

    test "leave out what an event does not have" do
      metadata = Map.merge(@request, %{result: :timeout, response_model: nil, finish_reasons: []})
      measurements = %{items: 0, duration: @native, monotonic_time: 1}

      assert [{"gen_ai.client.operation.duration", 1.0, %{"error.type" => "timeout"}}] =
               GenAI.recordings([:vllm, :stream, :stop], measurements, metadata)
    end

    test "of a call that streams are those of its stream, unless it is refused" do
      call = @request |> Map.delete(:request_id) |> Map.merge(%{finish_reasons: []})
      recorded = &GenAI.recordings([:vllm, :call, :stop], %{duration: 1}, Map.merge(call, &1))
      assert recorded.(%{result: :ok}) == []
      assert [{_, _, %{"error.type" => "overloaded"}}] = recorded.(%{result: :overloaded})
      assert [{_, _, %{}}] = recorded.(%{result: :ok, method: "chat"})
      assert recorded.(%{result: :ok, method: "sleep"}) == []
    end
  end

  describe "metrics/0" do
    test "comes from measurements that the events have" do
      for %{event: event, measurement: measurement} <- GenAI.metrics() do
        assert {_, _, measurements, _} = List.keyfind(Telemetry.table(), event, 0)
        assert measurement in Keyword.keys(measurements)
      end
    end

    test "has rising buckets, one set for each name" do
      for {name, metrics} <- Enum.group_by(GenAI.metrics(), & &1.name) do
        assert [{_unit, buckets}] = Enum.uniq_by(metrics, &{&1.unit, &1.buckets}) |> pairs()
        assert buckets == Enum.sort(Enum.uniq(buckets)), name
      end
    end

    defp pairs(metrics), do: Enum.map(metrics, &{&1.unit, &1.buckets})
  end

  describe "telemetry_metrics/0" do
    test "is empty without the library" do
      assert GenAI.telemetry_metrics() == []
    end

    test "is the same metrics, with tags that Prometheus takes" do
      StandIns.telemetry_metrics()
      definitions = GenAI.telemetry_metrics()
      names = for {:distribution, name, _options} <- definitions, do: name
      assert names == Enum.map(GenAI.metrics(), & &1.name)

      for {_kind, _name, options} <- definitions do
        values = options[:tag_values].(@request)
        assert Enum.sort(Map.keys(values)) == Enum.sort(options[:tags])

        assert %{gen_ai_operation_name: "text_completion", gen_ai_request_model: "smollm"} =
                 values

        assert Enum.all?(options[:tags], &(Atom.to_string(&1) =~ ~r/^[a-z_]+$/))
        assert options[:keep].(@request)
        refute options[:keep].(%{@request | method: "sleep"})
      end
    end
  end

  describe "the guide" do
    test "has the attributes and metrics of every event" do
      for {event, attributes, metrics} <- rows() do
        {_, _, measurements, metadata} = List.keyfind(Telemetry.table(), event, 0)
        measurements = Map.new(measurements, fn {key, _text} -> {key, 1} end)
        metadata = Map.new(metadata, fn {key, _text} -> {key, sample(key)} end)
        given = measurements |> GenAI.attributes(metadata) |> Map.keys()
        assert Enum.sort(attributes) == Enum.sort(given), inspect(event)
        recorded = for {name, _, _} <- GenAI.recordings(event, measurements, metadata), do: name
        assert Enum.sort(metrics) == Enum.sort(Enum.uniq(recorded)), inspect(event)
      end
    end

    test "has a row for every event that has some" do
      assert for({event, _, _, metadata} <- Telemetry.table(), request?(metadata), do: event) ==
               for({event, _, _} <- rows(), do: event)
    end

    # The progress of a batch is no request: it has no reference.
    defp request?(metadata), do: metadata[:class] != nil and metadata[:ref] != nil

    defp rows do
      guide = File.read!("elixir/guides/telemetry.md")
      [_, section] = String.split(guide, "| Event | Attributes | Metrics |\n", parts: 2)

      for [_, event, attributes, metrics] <-
            Regex.scan(~r/^\| `(\[:vllm[^`]*\])` \| ([^|]*) \| ([^|]*) \|$/m, section),
          {event, []} = Code.eval_string(event),
          do: {event, start(attributes) ++ names(attributes), names(metrics)}
    end

    defp start(attributes) do
      if attributes =~ ~r/^(the same|those of `start`)/,
        do: ~w(gen_ai.operation.name gen_ai.provider.name gen_ai.request.model),
        else: []
    end

    defp names(cell) do
      for [_, name] <- Regex.scan(~r/`([\w.]+)`/, cell), name != "start", do: name
    end

    defp sample(:class), do: "AsyncLLM"
    defp sample(:method), do: "generate"
    defp sample(:ref), do: @ref
    defp sample(:finish_reasons), do: ["stop"]
    defp sample(:result), do: :timeout
    defp sample(:kind), do: :exit
    defp sample(_other), do: "x"
  end
end
