defmodule Vllm.Telemetry.GenAI do
  @moduledoc """
  Names our events in OpenTelemetry's conventions for generative AI, without a dependency on
  OpenTelemetry.

  The names are those of OpenTelemetry's semantic conventions 1.41, whose GenAI part is in development.
  The guide *Telemetry* says what each event gives, and what a later version has renamed.

      def handle(event, measurements, metadata, _config) do
        for {metric, value, attributes} <-
              Vllm.Telemetry.GenAI.recordings(event, measurements, metadata),
            do: MyApp.Metrics.record(metric, value, attributes)
      end

  Attributes hold no prompts, no outputs and no ids of requests. `gen_ai.provider.name` is `"vllm"`, a
  value of our own, because the conventions have none for vLLM.

  `gen_ai.request.model` is the name that the engine serves its model under. It is known on the node
  that built the engine, from its arguments, and on that of the instance with `metrics_interval:`.
  Otherwise the attribute is absent. `gen_ai.response.model` is what the answer names: the adapter,
  if there is one.
  """

  alias Vllm.Core.Telemetry.Models

  @provider "vllm"

  # {class, method} => operation. The last three have no name in the conventions.
  @operations %{
    {"AsyncLLM", "generate"} => "text_completion",
    {"AsyncLLM", "add_request"} => "text_completion",
    {"AsyncLLM", "chat"} => "chat",
    {"AsyncLLM", "stream_chat"} => "chat",
    {"AsyncLLM", "embed"} => "embeddings",
    {"AsyncLLM", "encode"} => "pooling",
    {"AsyncLLM", "encode_batch"} => "pooling",
    {"AsyncLLM", "classify"} => "classify",
    {"AsyncLLM", "score"} => "score",
    {"LLM", "generate"} => "text_completion",
    {"LLM", "beam_search"} => "text_completion",
    {"LLM", "chat"} => "chat",
    {"LLM", "embed"} => "embeddings",
    {"LLM", "encode"} => "pooling",
    {"LLM", "classify"} => "classify",
    {"LLM", "score"} => "score"
  }

  # Their calls return when the engine has accepted the request; how it went is in the stream's events.
  @accepted [
    {"AsyncLLM", "generate"},
    {"AsyncLLM", "add_request"},
    {"AsyncLLM", "stream_chat"},
    {"AsyncLLM", "encode"}
  ]

  @seconds [
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92
  ]
  @first_token [
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0
  ]
  @per_token [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5]
  @tokens for power <- 0..13, do: Integer.pow(4, power)

  @names ["gen_ai.operation.name", "gen_ai.provider.name"]
  @models ["gen_ai.request.model", "gen_ai.response.model"]

  # The tags of metrics, as `Telemetry.Metrics` and as OpenTelemetry have them.
  @labels [
    gen_ai_operation_name: "gen_ai.operation.name",
    gen_ai_provider_name: "gen_ai.provider.name",
    gen_ai_request_model: "gen_ai.request.model",
    gen_ai_response_model: "gen_ai.response.model",
    gen_ai_token_type: "gen_ai.token.type",
    error_type: "error.type"
  ]

  # {name, unit, description, tags, buckets}
  @instruments %{
    duration:
      {"gen_ai.client.operation.duration", "s", "GenAI operation duration.",
       @names ++ @models ++ ["error.type"], @seconds},
    first_chunk:
      {"gen_ai.client.operation.time_to_first_chunk", "s",
       "From the sending of the request to its first item.", @names ++ @models, @seconds},
    tokens:
      {"gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
       @names ++ @models ++ ["gen_ai.token.type"], @tokens},
    server_duration:
      {"gen_ai.server.request.duration", "s",
       "From the arrival of the request at the engine to its last token.", @names ++ @models,
       @seconds},
    server_first_token:
      {"gen_ai.server.time_to_first_token", "s",
       "From the arrival of the request at the engine to its first token.", @names ++ @models,
       @first_token},
    server_per_token:
      {"gen_ai.server.time_per_output_token", "s", "Time per token after the first one.",
       @names ++ @models, @per_token}
  }

  @stream [:vllm, :stream]
  @call [:vllm, :call]
  @input %{"gen_ai.token.type" => "input"}
  @output %{"gen_ai.token.type" => "output"}

  # {instrument, event, measurement, further attributes}
  @rows [
    {:duration, @stream ++ [:stop], :duration, %{}},
    {:duration, @stream ++ [:exception], :duration, %{}},
    {:duration, @call ++ [:stop], :duration, %{}},
    {:duration, @call ++ [:exception], :duration, %{}},
    {:first_chunk, @stream ++ [:first_item], :duration, %{}},
    {:tokens, @stream ++ [:stop], :input_tokens, @input},
    {:tokens, @stream ++ [:stop], :output_tokens, @output},
    {:tokens, @call ++ [:stop], :input_tokens, @input},
    {:tokens, @call ++ [:stop], :output_tokens, @output},
    {:server_duration, @stream ++ [:stop], :engine_duration, %{}},
    {:server_first_token, @stream ++ [:stop], :time_to_first_token, %{}},
    {:server_per_token, @stream ++ [:stop], :time_per_output_token, %{}}
  ]

  @metrics for {instrument, event, measurement, attributes} <- @rows,
               {name, unit, description, tags, buckets} = @instruments[instrument],
               do: %{
                 name: name,
                 type: :histogram,
                 unit: unit,
                 description: description,
                 event: event,
                 measurement: measurement,
                 tags: tags,
                 attributes: attributes,
                 buckets: buckets
               }

  @typedoc """
  A metric from one measurement of one event:

    * `:name`, `:type`, `:unit`, `:description`, `:buckets` - of the instrument, a histogram
    * `:event`, `:measurement` - where its values come from. Times are in the native unit there
    * `:tags` - the attributes that it has, as far as the event knows them
    * `:attributes` - attributes that are the same for all of its values
  """
  @type metric :: %{
          name: String.t(),
          type: :histogram,
          unit: String.t(),
          description: String.t(),
          event: [atom()],
          measurement: atom(),
          tags: [String.t()],
          attributes: %{String.t() => String.t()},
          buckets: [number()]
        }

  @typedoc "Attributes by their names."
  @type attributes :: %{String.t() => String.t() | [String.t()] | number()}

  @doc """
  The attributes of a request, from an event of `Vllm.Telemetry`. Empty for events that are not about
  a request to a model.
  """
  @spec attributes(map(), map()) :: attributes()
  def attributes(measurements, metadata) do
    case operation(metadata) do
      nil -> %{}
      operation -> attributes(operation, measurements, metadata)
    end
  end

  defp attributes(operation, measurements, metadata) do
    known = %{
      "gen_ai.operation.name" => operation,
      "gen_ai.provider.name" => @provider,
      "gen_ai.request.model" => Models.name(metadata[:ref]),
      "gen_ai.response.model" => metadata[:response_model],
      "gen_ai.response.finish_reasons" => some(metadata[:finish_reasons]),
      "gen_ai.response.time_to_first_chunk" => seconds(measurements[:time_to_first_item]),
      "gen_ai.usage.input_tokens" => measurements[:input_tokens],
      "gen_ai.usage.output_tokens" => measurements[:output_tokens],
      "error.type" => error_type(metadata)
    }

    for {name, value} <- known, value != nil, into: %{}, do: {name, value}
  end

  @doc """
  The name of a span of a request, `{operation} {model}`, or the operation alone if the model is not
  known. `nil` for events that are not about a request to a model.
  """
  @spec span_name(map()) :: String.t() | nil
  def span_name(metadata) do
    names = Enum.reject([operation(metadata), Models.name(metadata[:ref])], &is_nil/1)
    if operation(metadata), do: Enum.join(names, " ")
  end

  @doc """
  The metrics of the conventions, each with the event and the measurement that it comes from. A name
  comes once for each of its events.
  """
  @spec metrics() :: [metric()]
  def metrics, do: @metrics

  @doc """
  What an event records: the name of a metric of `metrics/0`, a value in its unit, and its attributes.
  For a handler that feeds OpenTelemetry.

  A call that streams records nothing when the request is accepted; its stream does.
  """
  @spec recordings([atom()], map(), map()) :: [{String.t(), number(), attributes()}]
  def recordings(event, measurements, metadata) do
    of_request = attributes(measurements, metadata)

    for %{event: ^event} = metric <- @metrics,
        of_request != %{} and ended?(metadata),
        value = measurements[metric.measurement] do
      attributes = of_request |> Map.take(metric.tags) |> Map.merge(metric.attributes)
      {metric.name, in_unit(value, metric.unit), attributes}
    end
  end

  @doc """
  `metrics/0` as definitions of [`Telemetry.Metrics`](https://hexdocs.pm/telemetry_metrics), for its
  reporters; empty where that library is not loaded. Tags are the attributes with `_` for `.`, because
  Prometheus takes no dots.

  A reporter that allows a name only once, as those for Prometheus do, takes the first one:
  `Enum.uniq_by(definitions, & &1.name)`. Durations and tokens are then those of streams.
  """
  @spec telemetry_metrics() :: [struct()]
  def telemetry_metrics do
    # By apply, because it is not a dependency.
    if Code.ensure_loaded?(Telemetry.Metrics),
      do: Enum.map(@metrics, &apply(Telemetry.Metrics, :distribution, [&1.name, options(&1)])),
      else: []
  end

  defp options(metric) do
    [
      event_name: metric.event,
      measurement: metric.measurement,
      unit: if(metric.unit == "s", do: {:native, :second}, else: :token),
      description: metric.description,
      tags: Enum.map(metric.tags, &label/1),
      tag_values: &labels(&1, metric),
      keep: &(operation(&1) != nil and ended?(&1)),
      reporter_options: [buckets: metric.buckets]
    ]
  end

  # A reporter wants every tag of a metric.
  defp labels(metadata, metric) do
    known = Map.merge(attributes(%{}, metadata), metric.attributes)
    Map.new(metric.tags, &{label(&1), Map.get(known, &1, "")})
  end

  for {label, tag} <- @labels, do: defp(label(unquote(tag)), do: unquote(label))

  defp operation(%{class: class, method: method}), do: @operations[{class, method}]
  defp operation(_metadata), do: nil

  # Of the events of a stream, all are about the request itself: only those of a call have a result
  # and no id of a request.
  defp ended?(%{request_id: _}), do: true
  defp ended?(%{class: class, method: method, result: :ok}), do: {class, method} not in @accepted
  defp ended?(_metadata), do: true

  defp some([_ | _] = list), do: list
  defp some(_none), do: nil

  defp in_unit(value, "s"), do: seconds(value)
  defp in_unit(value, _count), do: value

  defp seconds(nil), do: nil
  defp seconds(native), do: native / System.convert_time_unit(1, :second, :native)

  # The kind of the `Vllm.Error`, or what was raised.
  defp error_type(%{result: result}) when result in [:ok, :halted], do: nil
  defp error_type(%{result: kind}), do: Atom.to_string(kind)
  defp error_type(%{reason: %module{}, kind: _}), do: inspect(module)
  defp error_type(%{kind: kind}), do: Atom.to_string(kind)
  defp error_type(_goes_on), do: nil
end
