defmodule Vllm.Core.Options do
  @moduledoc false
  # Validates and documents options. A module describes the options it takes once, in a table of
  # `{key, type, default, doc}`.
  #
  # Types are atoms and tuples, so that a table can be a module attribute:
  #
  #     :addresses (one or several) | :members (of a pool)
  #     :atom | :string | :path (bytes) | :boolean | :pid | :pos_integer | :timeout | :env | :engines
  #     :keyword_list (options that have a table of their own)
  #     :milliseconds | :pause (0 too) | {:range, first, last} (integers with bounds) | :number
  #     :text (a string of any characters) | :term (anything) | :map
  #     :instance (the name of an instance) | :secret
  #     {:list, type} | {:in, values} | {:or, types} | {:port, :tcp}

  alias Vllm.Core.RedactedServer
  alias Vllm.Error

  # 49 days. Timers of the runtime take 2^32 - 1 milliseconds at most, and some time is added to these.
  @max_milliseconds 49 * 24 * 60 * 60 * 1000

  # Bytes. The longest name that is made from an instance's is 30 characters longer, and the runtime
  # takes 255 for an atom.
  @max_name 200

  @type type :: atom() | {atom(), term()} | {:range, integer(), integer()}
  @type table :: [{key :: atom(), type(), default :: term(), doc :: String.t()}]

  # In place of a default: the option must be given.
  @required :required

  @doc """
  Fills in the defaults. An unknown option, a wrong type and a missing option are errors that name
  the option.
  """
  @spec validate(table(), keyword(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def validate(table, options, what) do
    with :ok <- check_shape(options, what),
         :ok <- check_known(table, options, what) do
      fill(table, options, what)
    end
  end

  @doc """
  As `validate/3`, for a table with `:timeout` and `:rpc`, the options of the bridge: in the result
  `:rpc` has the deadline, unless it has one of its own.
  """
  @spec validate_call(table(), keyword(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def validate_call(table, options, what) do
    with {:ok, settings} <- validate(table, options, what),
         do: {:ok, %{settings | rpc: with_deadline(settings.rpc, settings.timeout)}}
  end

  @doc """
  The options of the bridge with a deadline, unless they have one. What is no keyword list stays as it
  is: it is refused with the call.
  """
  @spec with_deadline(term(), timeout()) :: term()
  def with_deadline(rpc, timeout),
    do: if(Keyword.keyword?(rpc), do: Keyword.put_new(rpc, :timeout, timeout), else: rpc)

  @doc "As `validate/3`, for functions that raise `ArgumentError`."
  @spec validate!(table(), keyword(), String.t()) :: map()
  def validate!(table, options, what) do
    case validate(table, options, what) do
      {:ok, values} -> values
      {:error, error} -> raise ArgumentError, error.message
    end
  end

  @doc "The table as a Markdown list, for a moduledoc."
  @spec docs(table()) :: String.t()
  def docs(table) do
    Enum.map_join(table, "\n", fn {key, type, default, doc} ->
      doc = doc |> String.trim() |> String.replace("\n", "\n    ")
      "  * `#{inspect(key)}` (#{describe(type)}) - #{doc}#{default_text(default)}\n"
    end)
  end

  defp default_text(@required), do: " Required."
  defp default_text(nil), do: ""
  defp default_text(default), do: " Defaults to `#{inspect(default)}`."

  defp check_shape(options, what) do
    if Keyword.keyword?(options),
      do: :ok,
      else: invalid("#{what} must be a keyword list, got: #{RedactedServer.shape(options)}", nil)
  end

  defp check_known(table, options, what) do
    case Enum.find(options, fn {key, _} -> not List.keymember?(table, key, 0) end) do
      nil ->
        :ok

      {key, _value} ->
        known = Enum.map_join(table, ", ", fn row -> inspect(elem(row, 0)) end)
        invalid("unknown option #{inspect(key)} in #{what}; known are #{known}", key)
    end
  end

  defp fill(table, options, what) do
    Enum.reduce_while(table, {:ok, %{}}, fn {key, type, default, _doc}, {:ok, values} ->
      case fetch(options, key, type, default) do
        {:ok, value} ->
          {:cont, {:ok, Map.put(values, key, value)}}

        {:error, problem} ->
          {:halt, invalid("option #{inspect(key)} in #{what} #{problem}", key)}
      end
    end)
  end

  defp fetch(options, key, type, default) do
    case Keyword.fetch(options, key) do
      {:ok, value} ->
        if value === default or valid?(type, value),
          do: {:ok, value},
          else: {:error, "must be #{describe(type)}, got: #{shown(type, value)}"}

      :error when default == @required ->
        {:error, "is required"}

      :error ->
        {:ok, default}
    end
  end

  @doc "Checks one value, such as a timeout that is no option."
  @spec check(type(), term(), String.t()) :: :ok | {:error, Error.t()}
  def check(type, value, what) do
    if valid?(type, value),
      do: :ok,
      else: invalid("#{what} must be #{describe(type)}, got: #{shown(type, value)}", what)
  end

  @doc "As `check/3`, for functions that raise `ArgumentError`."
  @spec check!(type(), value, String.t()) :: value when value: term()
  def check!(type, value, what) do
    case check(type, value, what) do
      :ok -> value
      {:error, error} -> raise ArgumentError, error.message
    end
  end

  defp shown(:secret, value), do: RedactedServer.shape(value)
  # Options of instances may hold a token.
  defp shown(:members, value), do: RedactedServer.shape(value)
  defp shown(_type, value), do: inspect(value, limit: 10, printable_limit: 200)

  defp invalid(message, key) do
    details = if key, do: %{"option" => to_string(key)}, else: %{}
    {:error, Error.new(:invalid, message, details: details)}
  end

  ## Types

  defp valid?(:atom, value), do: is_atom(value) and not is_nil(value)

  # What is not text in Python cannot be sent as text.
  defp valid?(:text, value), do: is_binary(value) and String.valid?(value)

  defp valid?(:instance, value) do
    is_atom(value) and value not in [nil, true, false, :undefined] and
      byte_size(Atom.to_string(value)) <= @max_name
  end

  defp valid?(:number, value), do: is_number(value)

  defp valid?(:string, value),
    do: is_binary(value) and String.valid?(value) and not String.contains?(value, <<0>>)

  # Of a file, which need not be UTF-8.
  defp valid?(:path, value), do: is_binary(value) and not String.contains?(value, <<0>>)
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:pid, value), do: is_pid(value)
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0

  defp valid?(:timeout, value),
    do: value == :infinity or (is_integer(value) and value in 0..@max_milliseconds)

  defp valid?(:pause, value), do: is_integer(value) and value in 0..@max_milliseconds
  defp valid?(:term, _value), do: true
  defp valid?(:milliseconds, value), do: is_integer(value) and value in 1..@max_milliseconds
  defp valid?({:range, first, last}, value), do: is_integer(value) and value in first..last
  defp valid?(:secret, value), do: valid?(:string, value)
  defp valid?(:map, value), do: is_map(value)
  defp valid?(:keyword_list, value), do: Keyword.keyword?(value)

  defp valid?({:list, type}, value),
    do: is_list(value) and not List.improper?(value) and Enum.all?(value, &valid?(type, &1))

  defp valid?({:in, values}, value), do: value in values
  defp valid?({:or, types}, value), do: Enum.any?(types, &valid?(&1, value))
  defp valid?({:port, tag}, {tag, port}), do: is_integer(port) and port in 0..65_535
  defp valid?({:port, _tag}, _value), do: false

  defp valid?(:env, value) do
    (is_map(value) or (is_list(value) and List.improper?(value) == false)) and
      not is_struct(value) and
      Enum.all?(value, fn
        {key, text} ->
          (is_binary(key) or is_atom(key)) and variable?(to_string(key)) and
            (text == false or valid?(:string, text))

        _other ->
          false
      end)
  end

  defp valid?(:addresses, value) do
    valid?(:path, value) or (value != [] and valid?({:list, :path}, value))
  end

  defp valid?(:members, value) do
    is_list(value) and not List.improper?(value) and
      Enum.all?(value, fn
        {name, node} -> valid?(:instance, name) and is_atom(node)
        [_ | _] = options -> Keyword.keyword?(options)
        name -> valid?(:instance, name)
      end)
  end

  defp valid?(:engines, value) do
    Keyword.keyword?(value) and
      Enum.all?(value, fn {_name, args} -> is_map(args) or Keyword.keyword?(args) end) and
      value == Enum.uniq_by(value, &elem(&1, 0))
  end

  # Of the system: a name without "=".
  defp variable?(name),
    do: name != "" and valid?(:string, name) and not String.contains?(name, "=")

  defp describe(:atom), do: "an atom"
  defp describe(:string), do: "a string"
  defp describe(:text), do: "a string"
  defp describe(:number), do: "a number"

  defp describe(:instance),
    do:
      "an atom other than nil, true, false and :undefined, of at most #{@max_name} bytes, that names an instance"

  defp describe(:path), do: "a string"
  defp describe(:boolean), do: "a boolean"
  defp describe(:pid), do: "a pid"
  defp describe(:pos_integer), do: "a positive integer"
  defp describe(:timeout), do: "milliseconds from 0 to #{@max_milliseconds}, or :infinity"
  defp describe(:pause), do: "milliseconds from 0 to #{@max_milliseconds}"
  defp describe(:term), do: "any term"
  defp describe(:milliseconds), do: "milliseconds from 1 to #{@max_milliseconds}"
  defp describe({:range, first, last}), do: "an integer from #{first} to #{last}"
  defp describe(:secret), do: "a string"
  defp describe(:map), do: "a map"
  defp describe(:keyword_list), do: "a keyword list"
  defp describe(:addresses), do: "a string or a list of strings"

  defp describe(:members),
    do: "a list of instances, each its name, {name, node} or a keyword list of its options"

  defp describe(:engines), do: "a keyword list of engine arguments, each name once"
  defp describe(:env), do: "a map from variable name to string or false"
  defp describe({:list, type}), do: "a list, each element #{describe(type)}"
  defp describe({:in, values}), do: "one of #{Enum.map_join(values, ", ", &inspect/1)}"
  defp describe({:or, types}), do: Enum.map_join(types, " or ", &describe/1)
  defp describe({:port, tag}), do: "{#{inspect(tag)}, port}"
end
