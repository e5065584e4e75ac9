defmodule Vllm.Core.OptionsTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Options

  @table [
    {:name, :atom, :required, "the name."},
    {:count, :pos_integer, 3, "how many."},
    {:wait, :timeout, nil, "how long."},
    {:listen, {:or, [{:in, [:unix]}, {:port, :tcp}]}, :unix, "where."},
    {:args, {:list, :string}, [], "more."},
    {:env, :env, %{}, "variables."}
  ]

  test "fills in the defaults" do
    assert {:ok, values} = validate(name: :x)
    assert values == %{name: :x, count: 3, wait: nil, listen: :unix, args: [], env: %{}}
  end

  test "accepts values of the right types" do
    options = [
      name: :x,
      wait: :infinity,
      listen: {:tcp, 0},
      args: ["a"],
      env: [{"A", "1"}, {:B, false}]
    ]

    assert {:ok, %{listen: {:tcp, 0}, wait: :infinity}} = validate(options)
  end

  test "names an unknown option and the known ones" do
    assert {:error, %Error{kind: :invalid} = error} = validate(name: :x, cuont: 1)
    assert error.message =~ ":cuont"
    assert error.message =~ ":count"
    assert error.details == %{"option" => "cuont"}
  end

  test "names a missing option" do
    assert {:error, %Error{message: message}} = validate([])
    assert message =~ ":name"
    assert message =~ "required"
  end

  for {key, value} <- [
        name: nil,
        name: "text",
        count: 0,
        wait: -1,
        listen: :tcp,
        listen: {:tcp, 70_000},
        args: "a",
        args: [:a],
        env: %{1 => "x"}
      ] do
    test "refuses #{key}: #{inspect(value)} and names the type" do
      options = Keyword.merge([name: :x], [{unquote(key), unquote(Macro.escape(value))}])
      assert {:error, %Error{kind: :invalid, message: message}} = validate(options)
      assert message =~ inspect(unquote(key))
      assert message =~ "must be"
      assert message =~ inspect(unquote(Macro.escape(value)))
    end
  end

  test "refuses options that are not a keyword list" do
    assert {:error, %Error{kind: :invalid}} = validate([1, 2])
  end

  test "documents every option with type and default" do
    docs = Options.docs(@table)
    assert docs =~ "* `:count` (a positive integer) - how many. Defaults to `3`."
    assert docs =~ "* `:name` (an atom) - the name. Required."
    assert docs =~ "{:tcp, port}"
  end

  defp validate(options), do: Options.validate(@table, options, "the options of a test")
end
