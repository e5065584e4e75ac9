defmodule Vllm.Core.Test.Script do
  @moduledoc false
  # Translates the arguments of Vllm.Test's functions into those of the fake engine: its behaviours,
  # injections and plan.

  alias Vllm.Codec

  # For each kind of error that an engine can cause: the class that vLLM raises, or Python's nearest.
  @classes %{
    invalid: "VLLMValidationError",
    not_found: "VLLMNotFoundError",
    unsupported: "NotImplementedError",
    conflict: "ProfilerAlreadyActiveError",
    overloaded: "QueueOverflowError",
    timeout: "TimeoutError",
    engine_dead: "EngineDeadError",
    engine_error: "EngineGenerateError",
    python: "Exception"
  }

  @message "scripted by the test"

  @request_keys [prompt: :any, times: nil]

  @doc "The kinds of error that can be scripted."
  def kinds, do: Map.keys(@classes)

  @doc "An error as the fake engine takes it: class and message."
  # EngineDeadError takes no message.
  def error({:engine_dead, _message}), do: [class(:engine_dead)]
  def error(:engine_dead), do: [class(:engine_dead)]
  def error({type, message}) when is_binary(message), do: [class(type), message]
  def error(type), do: [class(type), @message]

  defp class(kind) when is_map_key(@classes, kind), do: Map.fetch!(@classes, kind)
  defp class(name) when is_binary(name), do: name

  defp class(other) do
    raise ArgumentError,
          "an error is one of #{Enum.map_join(kinds(), ", ", &inspect/1)}, the name of a Python " <>
            "exception, or a tuple of one of these and a message, got: #{inspect(other)}" <>
            elsewhere(other)
  end

  defp elsewhere(:worker_down), do: "; to lose the worker use Vllm.Test.crash_worker/1"
  defp elsewhere(_other), do: ""

  @doc "A behaviour that answers with these tokens, as arguments of `script`."
  def reply(prompt, tokens, options) do
    options =
      Keyword.validate!(options, [
        :times,
        :hold,
        :finish_reason,
        :stop_reason,
        :logprobs,
        then: :stop,
        delay: 0,
        merge: false
      ])

    tokens = tokens(tokens)

    behaviour =
      %{
        "say" => tokens,
        "delay" => options[:delay] / 1000,
        "paced" => not options[:merge]
      }
      |> Map.merge(ending(options[:then], options[:hold], length(tokens)))
      |> put("finish_reason", options[:finish_reason])
      |> put("stop_reason", options[:stop_reason])
      |> put("logprobs", options[:logprobs])

    script(behaviour, prompt: prompt, times: options[:times])
  end

  @doc "A behaviour for the requests that `options` select, as arguments of `script`."
  def script(behaviour, options) do
    options = Keyword.validate!(options, @request_keys)

    %{"behaviour" => behaviour}
    |> Map.merge(prompt(options[:prompt]))
    |> put("times", options[:times])
  end

  @doc "The fault of a method, as arguments of `inject`."
  def injection(method, injection, options) do
    options = Keyword.validate!(options, times: nil)
    injection = put(injection, "times", options[:times])
    %{"method" => to_string(method), "injection" => injection}
  end

  @doc "Splits the options of a worker into its plan and the others."
  def plan(options) do
    {plan, others} = Keyword.split(options, [:replies, :start_error, :start_delay])

    config =
      Enum.reduce(plan, %{}, fn
        {:replies, replies}, config -> Map.put(config, "scripts", Enum.map(replies, &planned/1))
        {:start_error, error}, config -> Map.put(config, "build_error", error(error))
        {:start_delay, delay}, config -> Map.put(config, "build_seconds", delay / 1000)
      end)

    {config, others}
  end

  defp planned({prompt, tokens}), do: reply(prompt, tokens, [])
  defp planned({prompt, tokens, options}), do: reply(prompt, tokens, options)

  @doc "A plan as the environment variable that the worker reads."
  def environment(plan) when plan == %{}, do: %{}

  def environment(plan) do
    {:ok, iodata} = Codec.encode(plan)
    %{"VLLM_BRIDGE_FAKE" => iodata |> IO.iodata_to_binary() |> Base.encode64()}
  end

  ## Parts

  defp put(map, _key, nil), do: map
  defp put(map, key, value), do: Map.put(map, key, value)

  # A text is split into words, each with the blanks before it, as tokenizers do.
  defp tokens(text) when is_binary(text) do
    for [token] <- Regex.scan(~r/\s*\S+|\s+$/u, text), do: token
  end

  defp tokens(tokens) when is_list(tokens), do: tokens

  defp ending(:stop, nil, _count), do: %{}
  defp ending(:stop, hold, _count), do: %{"hold" => true, "after" => hold}
  defp ending(:hang, nil, count), do: %{"hang" => true, "after" => count}
  defp ending(:die, nil, count), do: %{"die" => true, "after" => count}
  defp ending({:fail, error}, nil, count), do: %{"fail" => error(error), "after" => count}

  defp ending(other, nil, _count) do
    raise ArgumentError, ":then is :stop, :hang, :die or {:fail, error}, got: #{inspect(other)}"
  end

  defp ending(_other, _hold, _count), do: raise(ArgumentError, ":hold cannot go with :then")

  defp prompt(:any), do: %{}
  defp prompt(%Regex{} = pattern), do: %{"pattern" => flags(pattern) <> pattern.source}
  defp prompt(prompt) when is_binary(prompt) or is_list(prompt), do: %{"prompt" => prompt}

  defp prompt(other) do
    raise ArgumentError,
          "a prompt is a text, a list of token ids, a regex or :any, got: #{inspect(other)}"
  end

  # The flags of a regex in Elixir, letters before 1.15 and atoms since, and in Python.
  @flags %{
    "i" => "i",
    "m" => "m",
    "s" => "s",
    "x" => "x",
    :caseless => "i",
    :multiline => "m",
    :dotall => "s",
    :extended => "x"
  }

  # Python's regexes are always Unicode.
  @unicode ["u", :unicode, :ucp]

  defp flags(pattern) do
    case for option <- regex_options(pattern), option not in @unicode, do: flag(option) do
      [] -> ""
      flags -> "(?#{flags})"
    end
  end

  defp regex_options(pattern) do
    case Regex.opts(pattern) do
      letters when is_binary(letters) -> String.graphemes(letters)
      options -> options
    end
  end

  defp flag(option) when is_map_key(@flags, option), do: Map.fetch!(@flags, option)

  defp flag(option) do
    raise ArgumentError,
          "the regex of a prompt is used by Python, which has no option #{inspect(option)}; remove it"
  end
end
